#include "lm/chat_template.h"

#include <fmt/format.h>
#include <jinja/caps.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
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
               "use --template raw to go without it");
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

std::string join(const std::vector<TextPart>& parts) {
  std::string text;
  for (const TextPart& part : parts) text += part.text;
  return text;
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
      control_texts_(std::move(control_texts)) {
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
          find_response_lead();
        })) {
      throw bad_template("it does not come to an end");
    }
    program_->capabilities = jinja::caps_get(program_->code);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw bad_template(first_line(error.what()));
  }
  response_lead_ = find_response_lead();
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

std::vector<TextPart> ChatTemplate::render(const std::vector<Message>& messages, bool add_generation_prompt) const {
  std::vector<Message> turns = messages;
  if (!program_->capabilities.supports_system_role && turns.size() > 1 && turns.front().role == "system") {
    // As llama.cpp and the model authors do it: the instruction goes in front of the first turn.
    turns[1].content = turns[0].content + "\n" + turns[1].content;
    turns.erase(turns.begin());
  }
  ContentShield shield(control_texts_);
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
      list->push_back(entry);
    }
    jinja::context context(program_->source);
    context.current_time = kDate;
    context.set_val("messages", list);
    context.set_val("bos_token", text_value(bos_, false));
    context.set_val("eos_token", text_value(eos_, false));
    context.set_val("enable_thinking", jinja::mk_val<jinja::value_bool>(false));
    context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(add_generation_prompt));
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
                fmt::format("the model's chat template refuses the conversation: {}", first_line(error.what())),
                "bring the turns into the order that the model expects, or use --template raw");
  }
  return shield.uncover(std::move(parts));
}

std::vector<TextPart> ChatTemplate::render_prompt(const std::vector<Message>& messages) const {
  return render(messages, true);
}

std::string ChatTemplate::find_response_lead() const {
  const Message question{"user", "Q"};
  const Message answer{"assistant", "A"};
  try {
    const std::string prompt = join(render({question}, true));
    const std::string whole = join(render({question, answer}, false));
    if (!whole.starts_with(prompt)) return "";
    const auto at = whole.find('A', prompt.size());
    if (at == std::string::npos) return "";
    const std::string lead = whole.substr(prompt.size(), at - prompt.size());
    const bool blank = std::all_of(lead.begin(), lead.end(), [](unsigned char c) { return std::isspace(c) != 0; });
    return blank ? lead : "";
  } catch (const Error&) {
    return "";  // a template for other conversations than this one; it has its say when it is used
  }
}

}  // namespace coala
