#include "decode/export_loss.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/interrupt.h"
#include "lm/session.h"
#include "lm/token_odds.h"

namespace coala {
namespace {

constexpr std::array kQuestions{
    "What is the capital of Portugal?",  "How do I bake bread?",   "Why is the sky blue?",
    "Write a short poem about the sea.", "Is coffee good for me?", "Explain how a bicycle stays upright."};
constexpr std::size_t kTokens = 32;  // of a reply

Token most_probable(std::span<const float> logits) {
  return static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

ExportLoss export_loss(const Backbone& backbone, const LogitsProcessor& tilt, const Backbone& merged, int threads) {
  ExportLoss loss;
  const std::size_t context = std::min<std::size_t>(backbone.identity().context_tokens, 1024);
  const SessionOptions options{1, context, threads};
  Session guided(backbone, options);
  Session written(merged, options);
  std::vector<float> logits;
  for (const char* question : kQuestions) {
    throw_if_interrupted();
    const EncodedPrompt prompt = backbone.encode_prompt({{{"user", question}}, {}});
    if (prompt.tokens.empty() || prompt.tokens.size() + kTokens > context) continue;
    Session::Output own = guided.start(0, prompt.tokens);
    Session::Output other = written.start(0, prompt.tokens);
    std::vector<Token> reply;
    while (reply.size() < kTokens) {
      logits.assign(own.logits.begin(), own.logits.end());
      tilt.add(own.state, 1, logits, nullptr);
      const Token token = most_probable(logits);
      loss.divergence += divergence(logits, other.logits);
      loss.same_tokens += most_probable(other.logits) == token ? 1 : 0;
      ++loss.tokens;
      if (backbone.ends_reply(prompt, reply, token)) break;
      reply.push_back(token);
      const Session::Row row{0, token};
      own = guided.step({&row, 1}).front();
      other = written.step({&row, 1}).front();
    }
  }
  if (loss.tokens > 0) {
    loss.divergence /= static_cast<double>(loss.tokens);
    loss.same_tokens /= static_cast<double>(loss.tokens);
  }
  return loss;
}

}  // namespace coala
