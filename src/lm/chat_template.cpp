#include "lm/chat_template.h"

#include <fmt/format.h>
#include <jinja/caps.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "lm/answer_form.h"
#include "lm/content_shield.h"
#include "lm/probe.h"

namespace coala {
namespace {

// The parser and the interpreter recurse. These bounds are several times those of the largest templates in use and
// keep a hostile one from overflowing the stack.
constexpr std::size_t kLongestTemplate_bytes = 256 * 1024;
constexpr int kDeepestNesting = 100;
constexpr std::size_t kLongestTag_tokens = 4000;

/// Some templates print today's date. A fixed one (2024-07-26 12:00 UTC, which several templates name as their own
/// default) keeps features the same on every day.
constexpr std::time_t kDate = 1721995200;

Error bad_template(const std::string& what) {
  return Error(ErrorCode::BadInput, fmt::format("the model's chat template cannot be used: {}", what),
               "use --template raw to go without it, or --template FILE with another");
}

std::string first_line(const std::string& text) {
  const auto begin = text.find_first_not_of("\n ");
  if (begin == std::string::npos) return "unknown error";
  return text.substr(begin, text.find('\n', begin) - begin);
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

/// Why the engine gave up: behind the place in the source, which it draws first.
std::string reason_of(const std::exception& error) {
  const std::string text = error.what();
  constexpr std::string_view kError = "Error: ";
  constexpr std::string_view kRaised = "Jinja Exception: ";
  const std::size_t at = text.find("\n" + std::string(kError));
  std::string reason = at == std::string::npos ? text : text.substr(at + 1 + kError.size());
  if (reason.starts_with(kRaised)) reason.erase(0, kRaised.size());
  return first_line(reason);
}

bool is_word(const std::string& role) {
  return !role.empty() && role.size() <= 64 && std::all_of(role.begin(), role.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-';
  });
}

jinja::value text_value(const std::string& text, bool from_user) {
  auto value = jinja::mk_val<jinja::value_string>(text);
  if (from_user) value->mark_input();
  return value;
}

}  // namespace

struct ChatTemplate::Program {
  std::string source;
  jinja::program code;
  jinja::caps capabilities;
};

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
    : program_(std::make_unique<Program>()),
      bos_(std::move(bos)),
      eos_(std::move(eos)),
      control_texts_(std::move(control_texts)),
      control_matcher_(control_texts_) {
  if (source.size() > kLongestTemplate_bytes) {
    throw bad_template(fmt::format("it has {} bytes, {} are allowed", source.size(), kLongestTemplate_bytes));
  }
  try {
    jinja::lexer lexer;
    const jinja::lexer_result lexed = lexer.tokenize(source);
    check_nesting(lexed);
    program_->source = source;
    program_->code = jinja::parse_from_tokens(lexed);
    // A macro that calls itself without end, or a loop over a huge range, cannot be seen in the text.
    if (!survives_in_child([this] {
          program_->capabilities = jinja::caps_get(program_->code);
          find_form();
        })) {
      throw bad_template("it does not come to an end");
    }
    program_->capabilities = jinja::caps_get(program_->code);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw bad_template(reason_of(error));
  }
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
  if (!program_->capabilities.supports_system_role && turns.size() > 1 && turns.front().role == "system") {
    // As llama.cpp and the model authors do it: the instruction goes in front of the first turn.
    turns[1].content = turns[0].content + "\n" + turns[1].content;
    turns.erase(turns.begin());
  }
  ContentShield shield(control_texts_, control_matcher_);
  for (Message& turn : turns) {
    turn.content = shield.cover(turn.content);
    if (!is_word(turn.role)) turn.role = shield.cover(turn.role);
  }
  std::vector<TextPart> parts;
  try {
    auto list = jinja::mk_val<jinja::value_array>();
    for (const Message& turn : turns) {
      auto entry = jinja::mk_val<jinja::value_object>();
      // Templates build control tokens from roles ('<|' + role + '|>'), so a role counts as the template's text,
      // unless it is none.
      entry->insert("role", text_value(turn.role, !is_word(turn.role)));
      if (program_->capabilities.supports_string_content) {
        entry->insert("content", text_value(turn.content, true));
      } else {
        auto piece = jinja::mk_val<jinja::value_object>();
        piece->insert("type", text_value("text", false));
        piece->insert("text", text_value(turn.content, true));
        auto pieces = jinja::mk_val<jinja::value_array>();
        pieces->push_back(piece);
        entry->insert("content", pieces);
      }
      if (&turn == &turns.back() && !request.thoughts.empty()) {
        // The names that templates have for it.
        for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
          entry->insert(name, text_value(request.thoughts, true));
        }
      }
      list->push_back(entry);
    }
    jinja::context context(program_->source);
    context.current_time = kDate;
    context.set_val("messages", list);
    context.set_val("bos_token", text_value(bos_, false));
    context.set_val("eos_token", text_value(eos_, false));
    const bool thinks = request.thinking == Thinking::On;
    context.set_val("enable_thinking", jinja::mk_val<jinja::value_bool>(thinks));
    if (thinks) context.set_val("thinking", jinja::mk_val<jinja::value_bool>(true));  // DeepSeek's and Granite's name
    context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(request.generation_prompt));
    jinja::runtime runtime(context);
    const jinja::value result = runtime.execute(program_->code);
    const jinja::value_string text = jinja::runtime::gather_string_parts(result);
    for (const auto& part : text->val_str.parts) {
      if (!part.val.empty()) parts.push_back({part.val, part.is_input});
    }
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the model's chat template refuses the conversation: {}", reason_of(error)),
                "bring the turns into the form that the model expects, use --template raw, or leave such records out "
                "with --skip-bad");
  }
  return shield.uncover(std::move(parts));
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
  } catch (const Error&) {
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
