#include "lm/grammar.h"

#include <fmt/format.h>
#include <llama.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"
#include "lm/child_process.h"
#include "lm/log_sink.h"

namespace coala {

void Grammar::Free::operator()(llama_sampler* sampler) const {
  llama_sampler_free(sampler);
}

namespace {

constexpr std::size_t kMemory_bytes = std::size_t{1} << 29;
constexpr Patience kPatience{std::chrono::seconds(60), std::chrono::seconds(10)};

/// What the parser has written: where it gave up, before it repeats the text.
std::string first_note(int notes) {
  constexpr std::size_t kEnough = 120;
  std::string text(kEnough, '\0');
  const ssize_t got = ::pread(notes, text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  constexpr std::string_view kPrefix = "parse: error parsing grammar: ";
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  return text.substr(0, text.find('\n'));
}

/// Parses the grammar in a process of its own: the parser recurses over brackets and rules, makes a rule for each of
/// {m,n}, and writes what it does not understand to standard error.
/// @returns  what is wrong with it; "" when nothing is
std::string try_grammar(const Tokenizer& tokenizer, const std::string& text) {
  std::string reason;
  const auto received = answer_of_child([&] {
    const ChildProcess child(kMemory_bytes, [&](const ChildProcess::Port& port) {
      const int notes = ::memfd_create("notes", 0);
      if (notes >= 0) ::dup2(notes, STDERR_FILENO);
      llama_sampler* sampler = llama_sampler_init_grammar(tokenizer.handle(), text.c_str(), "root");
      std::string fault = sampler != nullptr ? "" : first_note(notes);
      if (sampler == nullptr && fault.empty()) fault = llama_error();
      if (sampler != nullptr) {
        llama_sampler* copy = llama_sampler_clone(sampler);
        llama_token_data token{0, 0, 0};
        llama_token_data_array one{&token, 1, -1, false};
        llama_sampler_apply(copy, &one);
      } else if (fault.empty()) {
        fault = "it cannot be understood";
      }
      port.send(fault);
    });
    return child.receive(reason, kPatience);
  });
  switch (received) {
    case ChildProcess::Received::Message:
      return reason;
    case ChildProcess::Received::Ended:
      return "it is nested too deeply, or too large";
    default:
      return "it is too large";
  }
}

}  // namespace

Grammar::Grammar(const Tokenizer& tokenizer, const std::string& text, const std::string& name) {
  clear_llama_log();
  if (const std::string reason = try_grammar(tokenizer, text); !reason.empty()) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is no grammar that can be used: {}", name, reason),
                "expected GBNF, such as: root ::= \"yes\" | \"no\"");
  }
  // llama.cpp takes an empty text for "no grammar".
  if (text.find_first_not_of(" \t\r\n") != std::string::npos) {
    sampler_.reset(llama_sampler_init_grammar(tokenizer.handle(), text.c_str(), "root"));
  }
  if (sampler_ == nullptr) {
    const std::string reason = llama_error();
    throw Error(ErrorCode::BadInput,
                fmt::format("{} is no grammar: {}", name, reason.empty() ? "it has no rules" : reason),
                "expected GBNF, such as: root ::= \"yes\" | \"no\"");
  }
}

llama_sampler* Grammar::copy() const {
  return llama_sampler_clone(sampler_.get());
}

}  // namespace coala
