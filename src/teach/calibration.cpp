#include "teach/calibration.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/progress.h"
#include "decode/parallel_generator.h"
#include "extract/token_basis_fit.h"
#include "linalg/blas.h"

namespace coala {
namespace {

constexpr std::size_t kTokens = 48;  ///< of a reply
constexpr std::array kQuestions{"What should I cook tonight?",
                                "Explain to me how a bicycle stays upright.",
                                "Write a short note to my neighbour about the noise.",
                                "How do I learn a new language?",
                                "Tell me a story about a lighthouse.",
                                "Which is better for a small flat, a cat or a dog?",
                                "How can I sleep better?",
                                "Summarise what a library does.",
                                "My computer is slow. What can I do?",
                                "What is the difference between a lake and a sea?",
                                "Give me three ideas for a rainy day.",
                                "Is it worth repairing an old radio?",
                                "How do plants drink?",
                                "Write two lines of verse about autumn.",
                                "What should I pack for a walk in the hills?"};

/// A reply and the states before its tokens.
struct Written {
  std::vector<Token> tokens;
  Matrix<float> states;  ///< [tokens, d]
};

/// States of a reply, by a session as writing has it.
Written read_states(Session& session, const EncodedPrompt& prompt, const std::vector<Token>& reply, std::size_t d) {
  Written written{reply, Matrix<float>(reply.size(), d)};
  Session::Output output = session.start(0, prompt.tokens);
  for (std::size_t i = 0; i < reply.size(); ++i) {
    std::ranges::copy(output.state, written.states.row(i).begin());
    const Session::Row row{0, reply[i]};
    if (i + 1 < reply.size()) output = session.step({&row, 1}).front();
  }
  return written;
}

/// The basis in a head's coordinates, with a sample of its own.
TokenBasis basis_of(const TokenHead& head, const OutputMatrix& output, const std::vector<Written>& replies) {
  TokenBasis basis;
  basis.states = head.states;
  basis.embeddings = head.embeddings;
  const std::size_t r = head.rank();
  const Matrix<float> table = output.table(head.embeddings);
  NextTokenMean mean(output);
  std::size_t tokens = 0;
  for (const Written& reply : replies) tokens += reply.tokens.size();
  basis.sample_states = Matrix<float>(tokens, r);
  basis.sample_residuals = Matrix<float>(tokens, r);
  std::size_t at = 0;
  for (const Written& reply : replies) {
    const std::size_t count = reply.tokens.size();
    Matrix<float> expected(count, r);
    mean.evaluate(reply.states.view(), table, expected.view());
    Matrix<float> projected(count, r);
    gemm(false, true, 1.0f, reply.states.view(), head.states.view(), 0.0f, projected.view());
    for (std::size_t i = 0; i < count; ++i, ++at) {
      std::ranges::copy(projected.row(i), basis.sample_states.row(at).begin());
      for (std::size_t b = 0; b < r; ++b) {
        basis.sample_residuals(at, b) = table(b, static_cast<std::size_t>(reply.tokens[i])) - expected(i, b);
      }
    }
  }
  return basis;
}

}  // namespace

OwnWriting calibrate(const Backbone& backbone, const std::shared_ptr<const OutputMatrix>& output,
                     const TokenHead* coordinates, std::size_t rank, TemplateMode mode, std::uint64_t seed,
                     int threads) {
  std::vector<EncodedPrompt> prompts;
  for (const char* question : kQuestions) {
    prompts.push_back(backbone.encode_prompt({{{"user", question}}, ""}, mode, Thinking::Off));
  }
  std::vector<std::vector<Token>> texts(prompts.size());
  double entropy = 0;
  double drawn = 0;
  {
    Progress progress("the model's own replies", prompts.size(), "replies");
    const GenerationSettings settings{.max_tokens = kTokens, .seed = seed};
    ParallelGenerator generator(backbone, settings, prompts, threads);
    generator.generate([&](std::size_t i, std::vector<Reply>&& replies) {
      entropy += replies.front().entropy;
      drawn += static_cast<double>(replies.front().log_probability_tokens);
      texts[i] = std::move(replies.front().tokens);
      progress.advance(1);
    });
  }
  std::size_t longest = 0;
  for (const EncodedPrompt& prompt : prompts) longest = std::max(longest, prompt.tokens.size());
  Session session(backbone, {.sequences = 1, .cells = longest + kTokens, .threads = std::max(1, threads)});
  std::vector<Written> replies;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (texts[i].empty()) continue;
    replies.push_back(read_states(session, prompts[i], texts[i], output->dimension()));
    tokens += texts[i].size();
  }
  OwnWriting calibration;
  calibration.entropy = drawn > 0 ? entropy / drawn : 0;
  if (coordinates != nullptr) {
    calibration.basis = basis_of(*coordinates, *output, replies);
    return calibration;
  }
  const auto visit = [&](const FollowedState& take) {
    for (const Written& reply : replies) {
      for (std::size_t i = 0; i < reply.tokens.size(); ++i) {
        take(std::span<const float>(reply.states.row(i)), reply.tokens[i]);
      }
    }
  };
  calibration.basis = fit_token_basis(*output, {tokens, visit}, {}, rank, threads);
  return calibration;
}

}  // namespace coala
