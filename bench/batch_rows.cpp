// How many tokens should go into one call of the model? Tokens per second of hidden states on one thread by rows per
// call, for sequences of three lengths, beside the choice of choose_batch_rows().
// Usage: bench_batch_rows MODEL...

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/random.h"
#include "core/resources.h"
#include "lm/backbone.h"
#include "lm/hidden_states.h"

namespace {

using namespace coala;

constexpr std::array<std::size_t, 5> kRows{64, 128, 192, 256, 512};

double tokens_per_second(StateEvaluator& evaluator, std::span<const TokenSequence> sequences) {
  const std::uint64_t before = evaluator.evaluated_tokens();
  const double start = monotonic_s();
  evaluator.evaluate(sequences, [](std::size_t, std::size_t, std::span<const float>) {});
  return static_cast<double>(evaluator.evaluated_tokens() - before) / (monotonic_s() - start);
}

}  // namespace

int main(int count, char** arguments) {
  for (int a = 1; a < count; ++a) {
    const Backbone backbone{std::filesystem::path(arguments[a])};
    fmt::print("{}: chosen {} rows\n{:>8}", backbone.identity().name, choose_batch_rows(backbone.identity()), "tokens");
    for (const std::size_t rows : kRows) fmt::print("{:>10}", rows);
    fmt::print("\n");
    for (const std::size_t length : {24u, 120u, 500u}) {
      Random random(length);
      std::vector<std::vector<Token>> tokens(6000 / length + 1);
      for (auto& sequence : tokens) {
        sequence.push_back(1);
        while (sequence.size() < length) {
          sequence.push_back(static_cast<Token>(3 + random.below(backbone.tokenizer().size() - 3)));
        }
      }
      const std::vector<TokenSequence> sequences(tokens.begin(), tokens.end());
      std::vector<std::unique_ptr<StateEvaluator>> evaluators;
      for (const std::size_t rows : kRows) {
        evaluators.push_back(std::make_unique<StateEvaluator>(
            backbone, StateOptions{.longest_tokens = 512, .threads = 1, .batch_rows = rows}));
      }
      std::array<double, kRows.size()> best{};
      for (int repetition = 0; repetition < 3; ++repetition) {
        for (std::size_t i = 0; i < kRows.size(); ++i) {
          best[i] = std::max(best[i], tokens_per_second(*evaluators[i], sequences));
        }
      }
      fmt::print("{:>8}", length);
      for (const double rate : best) fmt::print("{:>10.0f}", rate);
      fmt::print("\n");
    }
  }
}
