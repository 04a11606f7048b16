#pragma once

#include <memory>
#include <string>

#include "lm/tokenizer.h"

struct llama_sampler;

namespace coala {

/// A grammar in llama.cpp's notation (GBNF, start symbol `root`) that replies must conform to. One object serves any
/// number of samplers, each of which goes through a copy of its own.
class Grammar {
 public:
  /// @param name  of the text, for messages
  /// @throws Error{BadInput} when the text is no grammar, has no `root`, or is left-recursive
  Grammar(const Tokenizer& tokenizer, const std::string& text, const std::string& name);

  /// For src/lm only: at the start of the text; the caller owns it.
  llama_sampler* copy() const;

 private:
  struct Free {
    void operator()(llama_sampler* sampler) const;
  };
  std::unique_ptr<llama_sampler, Free> sampler_;
};

}  // namespace coala
