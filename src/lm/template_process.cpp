#include "lm/template_process.h"

#include <fmt/format.h>
#include <jinja/caps.h>
#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>
#include <utility>

#include "core/error.h"

namespace coala {
namespace {

constexpr std::chrono::seconds kTimeLimit{60};
constexpr Patience kPatience{kTimeLimit, std::chrono::seconds(5)};
// Memory for a conversation, most of which goes to copies of its texts; and for any.
constexpr std::size_t kLeastMemory_bytes = std::size_t{1} << 25;
constexpr std::size_t kMemoryPerByte = 24;
constexpr std::size_t kMostMemory_bytes = std::size_t{1} << 28;
constexpr std::size_t kMostOutput_bytes = std::size_t{1} << 24;

/// Some templates print today's date. A fixed one (2024-07-26 12:00 UTC, which several templates name as their own
/// default) keeps features the same on every day.
constexpr std::time_t kDate = 1721995200;

/// Why the engine gave up: behind the place in the source, which it draws first, and the names of the errors that it
/// passed on.
std::string reason_of(const std::exception& error) {
  std::string reason = error.what();
  for (const std::string_view name : {"Error: ", "Jinja Exception: "}) {
    if (const std::size_t at = reason.rfind(name); at != std::string::npos) reason.erase(0, at + name.size());
  }
  const std::size_t begin = reason.find_first_not_of("\n -");
  if (begin == std::string::npos) return "unknown error";
  return reason.substr(begin, reason.find('\n', begin) - begin);
}

jinja::value text_value(const std::string& text, bool from_user) {
  auto value = jinja::mk_val<jinja::value_string>(text);
  if (from_user) value->mark_input();
  return value;
}

std::string pack(const TemplateRequest& request) {
  MessageWriter writer;
  writer.add_flag(request.generation_prompt).add_flag(request.thinks).add(request.thoughts);
  for (const TemplateRequest::Turn& turn : request.turns) {
    writer.add(turn.role).add_flag(turn.role_is_text).add(turn.content);
  }
  return writer.message();
}

TemplateRequest unpack(const std::string& message) {
  MessageReader reader(message);
  TemplateRequest request;
  request.generation_prompt = reader.flag();
  request.thinks = reader.flag();
  request.thoughts = reader.text();
  while (!reader.at_end()) {
    TemplateRequest::Turn turn;
    turn.role = reader.text();
    turn.role_is_text = reader.flag();
    turn.content = reader.text();
    request.turns.push_back(std::move(turn));
  }
  return request;
}

/// What runs in the child.
class Engine {
 public:
  Engine(const std::string& source, std::string bos, std::string eos)
      : source_(source), bos_(std::move(bos)), eos_(std::move(eos)) {
    jinja::lexer lexer;
    code_ = jinja::parse_from_tokens(lexer.tokenize(source));
    capabilities_ = jinja::caps_get(code_);
  }

  bool supports_system_role() const { return capabilities_.supports_system_role; }

  /// The answer to a request.
  std::string answer(const TemplateRequest& request) {
    MessageWriter writer;
    try {
      const auto parts = execute(request);
      std::size_t bytes = 0;
      for (const auto& part : parts) bytes += part.val.size();
      if (bytes > kMostOutput_bytes) throw std::runtime_error(fmt::format("it writes {} bytes", bytes));
      writer.add_flag(true);
      for (const auto& part : parts) writer.add(part.val).add_flag(part.is_input);
    } catch (const std::exception& error) {
      writer = MessageWriter();
      writer.add_flag(false).add(reason_of(error));
    }
    return writer.message();
  }

 private:
  std::vector<jinja::string_part> execute(const TemplateRequest& request) {
    auto list = jinja::mk_val<jinja::value_array>();
    for (const TemplateRequest::Turn& turn : request.turns) {
      auto entry = jinja::mk_val<jinja::value_object>();
      // Templates build control tokens from roles ('<|' + role + '|>'), so a role counts as the template's text,
      // unless it is none.
      entry->insert("role", text_value(turn.role, turn.role_is_text));
      if (capabilities_.supports_string_content) {
        entry->insert("content", text_value(turn.content, true));
      } else {
        auto piece = jinja::mk_val<jinja::value_object>();
        piece->insert("type", text_value("text", false));
        piece->insert("text", text_value(turn.content, true));
        auto pieces = jinja::mk_val<jinja::value_array>();
        pieces->push_back(piece);
        entry->insert("content", pieces);
      }
      if (&turn == &request.turns.back() && !request.thoughts.empty()) {
        // The names that templates have for it.
        for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
          entry->insert(name, text_value(request.thoughts, true));
        }
      }
      list->push_back(entry);
    }
    jinja::context context(source_);
    context.current_time = kDate;
    context.set_val("messages", list);
    context.set_val("bos_token", text_value(bos_, false));
    context.set_val("eos_token", text_value(eos_, false));
    context.set_val("enable_thinking", jinja::mk_val<jinja::value_bool>(request.thinks));
    if (request.thinks) {
      context.set_val("thinking", jinja::mk_val<jinja::value_bool>(true));  // DeepSeek's and Granite's name
    }
    context.set_val("add_generation_prompt", jinja::mk_val<jinja::value_bool>(request.generation_prompt));
    jinja::runtime runtime(context);
    const jinja::value result = runtime.execute(code_);
    return jinja::runtime::gather_string_parts(result)->val_str.parts;
  }

  std::string source_, bos_, eos_;
  jinja::program code_;
  jinja::caps capabilities_;
};

Error unusable(const std::string& what) {
  return Error(ErrorCode::BadInput, fmt::format("the model's chat template cannot be used: {}", what),
               "use --template raw to go without it, or --template FILE with another");
}

}  // namespace

TemplateProcess::TemplateProcess(std::string source, std::string bos, std::string eos)
    : source_(std::move(source)), bos_(std::move(bos)), eos_(std::move(eos)) {
  const std::lock_guard lock(mutex_);
  std::string hello;
  const auto received = answer_of_child([&] {
    start();
    return process_->receive(hello, kPatience);
  });
  if (received != ChildProcess::Received::Message) throw unusable("it does not come to an end");
  MessageReader reader(hello);
  if (!reader.flag()) throw unusable(reader.text());
  supports_system_role_ = reader.flag();
}

void TemplateProcess::start() const {
  process_ = std::make_unique<ChildProcess>(kMostMemory_bytes, [this](const ChildProcess::Port& port) {
    std::optional<Engine> engine;
    MessageWriter hello;
    port.allow(kLeastMemory_bytes + kMemoryPerByte * source_.size());
    try {
      engine.emplace(source_, bos_, eos_);
      hello.add_flag(true).add_flag(engine->supports_system_role());
    } catch (const std::exception& error) {
      hello.add_flag(false).add(reason_of(error));
    }
    port.send(hello.message());
    for (std::string question; engine && port.receive(question);) {
      // For a parent that is gone; one that is there ends it sooner.
      ::alarm(static_cast<unsigned>(2 * kTimeLimit.count()));
      port.allow(kLeastMemory_bytes + kMemoryPerByte * (source_.size() + question.size()));
      port.send(engine->answer(unpack(question)));
      ::alarm(0);
    }
  });
}

ChildProcess::Received TemplateProcess::try_to_ask(const std::string& question, std::string& answer) const {
  if (!process_) {
    start();
    std::string hello;
    // Who stalls before it has begun does not read a question either: to send one could wait for ever.
    const auto begun = process_->receive(hello, kPatience);
    if (begun != ChildProcess::Received::Message) {
      process_.reset();
      return begun;
    }
  }
  process_->send(question);
  const auto received = process_->receive(answer, kPatience);
  if (received != ChildProcess::Received::Message) process_.reset();
  return received;
}

std::string TemplateProcess::ask(const std::string& question) const {
  const std::lock_guard lock(mutex_);
  std::string answer;
  try {
    const auto received = answer_of_child([&] { return try_to_ask(question, answer); });
    if (received == ChildProcess::Received::Message) return answer;
    failed_ = true;
    return MessageWriter()
        .add_flag(false)
        .add(received == ChildProcess::Received::Ended ? "it recurses too deeply, or takes too much memory"
                                                       : "it does not come to an end")
        .message();
  } catch (...) {
    process_.reset();
    throw;
  }
}

std::vector<TextPart> TemplateProcess::render(const TemplateRequest& request) const {
  const std::string answer = ask(pack(request));
  MessageReader reader(answer);
  if (!reader.flag()) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the model's chat template refuses the conversation: {}", reader.text()),
                "bring the turns into the form that the model expects, use --template raw, or leave such records out "
                "with --skip-bad");
  }
  std::vector<TextPart> parts;
  while (!reader.at_end()) {
    std::string text = reader.text();
    const bool from_user = reader.flag();
    if (!text.empty()) parts.push_back({std::move(text), from_user});
  }
  return parts;
}

}  // namespace coala
