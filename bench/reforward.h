#pragma once

#include <span>
#include <vector>

#include "decode/generator.h"
#include "lm/hidden_states.h"

namespace coala {

/// The rival of bench/guidance.cpp: branch guidance as the published program does it. Nothing is kept between tokens:
/// the whole text is evaluated anew for the next token's logits and, at a guided token, for each candidate. Same
/// engine, sampler and head; the candidates' evaluations leave the output matrix out, which favours the rival.
class ReforwardSampler {
 public:
  /// @param longest_tokens  of prompt and reply together
  ReforwardSampler(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_tokens);

  /// A reply of exactly max_tokens tokens.
  std::vector<Token> write(std::span<const Token> prompt);

 private:
  double score(std::span<const Token> prompt, const std::vector<Token>& text);

  const GenerationSettings& settings_;
  Session session_;
  StateEvaluator evaluator_;
  std::size_t dimension_;
};

}  // namespace coala
