#include "lm/chat_template.h"

#include <fmt/format.h>
#include <jinja/lexer.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "lm/answer_form.h"
#include "lm/content_shield.h"

namespace coala {
namespace {

// The parser and the interpreter recurse. These bounds are several times those of the largest templates in use and
// keep a hostile one from overflowing the stack.
constexpr std::size_t kLongestTemplate_bytes = 256 * 1024;
constexpr int kDeepestNesting = 100;
constexpr std::size_t kLongestTag_tokens = 4000;

Error bad_template(const std::string& what) {
  return Error(ErrorCode::BadInput, fmt::format("the model's chat template cannot be used: {}", what),
               "use --template raw to go without it, or --template FILE with another");
}

/// {% set x %}...{% endset %}, as opposed to {% set x = ... %}
bool is_block_set(const std::vector<jinja::token>& tokens, std::size_t at) {
  while (++at < tokens.size() && tokens[at].t != jinja::token::close_statement) {
    if (tokens[at].t == jinja::token::equals) return false;
  }
  return true;
}

void check_nesting(const jinja::lexer_result& lexed) {
  using jinja::token;
  int brackets = 0;
  int blocks = 0;
  std::vector<int> levels;  // of the open blocks: an "elif" nests inside its "if", and one "endif" closes them all
  std::size_t tag_tokens = 0;
  for (std::size_t i = 0; i < lexed.tokens.size(); ++i) {
    const token& current = lexed.tokens[i];
    ++tag_tokens;
    switch (current.t) {
      case token::open_paren:
      case token::open_square_bracket:
      case token::open_curly_bracket:
        ++brackets;
        break;
      case token::close_paren:
      case token::close_square_bracket:
      case token::close_curly_bracket:
        --brackets;
        break;
      case token::text:
      case token::open_expression:
        tag_tokens = 0;
        break;
      case token::open_statement: {
        tag_tokens = 0;
        const std::string word = i + 1 < lexed.tokens.size() ? lexed.tokens[i + 1].value : "";
        if (word == "if" || word == "for" || word == "macro" || word == "call" || word == "filter" ||
            (word == "set" && is_block_set(lexed.tokens, i))) {
          levels.push_back(1);
          ++blocks;
        } else if (word == "elif" && !levels.empty()) {
          ++levels.back();
          ++blocks;
        } else if (word.starts_with("end") && word != "endgeneration" && !levels.empty()) {
          blocks -= levels.back();
          levels.pop_back();
        }
        break;
      }
      default:
        break;
    }
    if (brackets > kDeepestNesting || blocks > kDeepestNesting || tag_tokens > kLongestTag_tokens) {
      throw bad_template(fmt::format("it is nested too deeply near byte {}", current.pos));
    }
  }
}

bool is_word(const std::string& role) {
  return !role.empty() && role.size() <= 64 && std::all_of(role.begin(), role.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
}

}  // namespace

const char* ChatTemplate::plain_source() {
  return "{% for message in messages %}"
         "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
         "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}"
         "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + '\\n' }}"
         "{% else %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endif %}"
         "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
}

const char* ChatTemplate::contents_source() {
  return "{% for message in messages %}{{ message['content'] + '\\n' }}{% endfor %}";
}

ChatTemplate::ChatTemplate(const std::string& source, std::string bos, std::string eos,
                           std::vector<std::string> control_texts)
    : control_texts_(std::move(control_texts)), control_matcher_(control_texts_) {
  if (source.size() > kLongestTemplate_bytes) {
    throw bad_template(fmt::format("it has {} bytes, {} are allowed", source.size(), kLongestTemplate_bytes));
  }
  try {
    jinja::lexer lexer;
    check_nesting(lexer.tokenize(source));
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    // The process that renders says why.
  }
  process_ = std::make_unique<TemplateProcess>(source, std::move(bos), std::move(eos));
  form_ = find_form();
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

/// What is rendered.
struct ChatTemplate::Request {
  std::vector<Message> messages;
  bool generation_prompt = false;
  Thinking thinking = Thinking::Off;
  std::string thoughts = {};  ///< of the last message, an answer; "": none
};

void ChatTemplate::cover(std::vector<std::string> control_texts) {
  control_texts_ = std::move(control_texts);
  control_matcher_ = TextMatcher(control_texts_);
}

std::vector<TextPart> ChatTemplate::render(const Request& request) const {
  std::vector<Message> turns = request.messages;
  if (!process_->supports_system_role() && turns.size() > 1 && turns.front().role == "system") {
    // As llama.cpp and the model authors do it: the instruction goes in front of the first turn.
    turns[1].content = turns[0].content + "\n" + turns[1].content;
    turns.erase(turns.begin());
  }
  ContentShield shield(control_texts_, control_matcher_);
  TemplateRequest covered{{}, request.generation_prompt, request.thinking == Thinking::On, request.thoughts};
  for (const Message& turn : turns) {
    const bool word = is_word(turn.role);
    std::string content = shield.cover(turn.content);
    covered.turns.push_back({word ? turn.role : shield.cover(turn.role), !word, std::move(content)});
  }
  return shield.uncover(process_->render(covered));
}

std::vector<TextPart> ChatTemplate::render_prompt(const std::vector<Message>& messages, Thinking thinking) const {
  std::vector<TextPart> parts = render({messages, true, thinking});
  if (thinking == Thinking::Off && !form_.lead.empty()) parts.push_back({form_.lead, false});
  return parts;
}

/// @param own_text  gets the template's own text as well
/// @returns  nothing when the template refuses: it is for other conversations, and has its say when it is used
std::optional<std::string> ChatTemplate::try_render(const Request& request, std::string& own_text) const {
  try {
    std::string text;
    for (const TextPart& part : render(request)) {
      text += part.text;
      own_text += part.from_user ? "\n" : part.text;
    }
    return text;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    if (process_->has_failed()) throw bad_template("it does not come to an end");
    return std::nullopt;
  }
}

ChatTemplate::AnswerForm ChatTemplate::find_form() const {
  const std::vector<Message> asked{{"user", kQuestion}};
  const std::vector<Message> answered{{"user", kQuestion}, {"assistant", kAnswer}};
  AnswerForm form;
  std::string& own = form.own_text;
  const auto prompt = try_render({asked, true}, own);
  const auto answer = try_render({answered, false}, own);
  if (!prompt || !answer) return form;
  const std::string thinking = try_render({asked, true, Thinking::On}, own).value_or(*prompt);
  const std::string thought = try_render({answered, false, Thinking::On, kThoughts}, own).value_or("");
  const std::string gone_on =
      try_render({{answered[0], answered[1], {"user", kNextQuestion}}, false}, own).value_or("");
  try_render({{{"system", kQuestion}, asked[0]}, true}, own);
  const RenderedAnswers rendered{*prompt, thinking, *answer, thought, gone_on};
  const AnswerLead lead = find_answer_lead(rendered);
  form.lead = lead.text;
  form.space = lead.space;
  form.starts_thinking = opens_thoughts(rendered);
  form.reply = find_reply_format(rendered);
  form.reply.channels = own.find("<|channel|>") != std::string::npos && own.find("<|message|>") != std::string::npos;
  form.end = find_turn_end(rendered);
  return form;
}

}  // namespace coala
