#include "lm/grammar.h"

#include <fmt/format.h>
#include <llama.h>

#include "core/error.h"
#include "lm/log_sink.h"

namespace coala {

void Grammar::Free::operator()(llama_sampler* sampler) const {
  llama_sampler_free(sampler);
}

Grammar::Grammar(const Tokenizer& tokenizer, const std::string& text, const std::string& name) {
  clear_llama_log();
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
