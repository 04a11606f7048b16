// What does guidance cost? Tokens per second of unguided decoding, of guidance by a token head of rank 32, of branch
// guidance at N = 5 and N = 1, and of a rival that keeps no cache. With PRUNED = 0 there are 15 candidates of which
// none is pruned (top-k 15, top-p 1, all of them scored), else those that the defaults leave. Every round runs all of
// them in turn, after a text of the model's own; printed are medians over the rounds, and of the ratios within a round.
// Usage: bench_guidance MODEL [ROUNDS = 5] [NEW_TOKENS = 64] [PROMPT_TOKENS = 192] [THREADS = 1] [PRUNED = 0]
// [DEVICE = cpu]. MODEL: for example the random Llama of 187 million parameters that bench/random_llama.py makes.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/resources.h"
#include "decode/token_tilt.h"
#include "reforward.h"

namespace {

using namespace coala;

/// Any head costs the same; this one has 20 neurons.
Head random_head(std::size_t dimension) {
  Random random(1);
  Head head;
  head.transform = FeatureTransform::identity(dimension);
  head.network.theta1 = Matrix<float>(20, dimension);
  head.network.gates = Matrix<float>(20, dimension);
  for (float& weight : head.network.theta1.values()) weight = static_cast<float>(random.normal());
  for (float& gate : head.network.gates.values()) gate = static_cast<float>(random.normal());
  head.network.theta2.assign(20, 1.0f);
  return head;
}

TokenHead random_token_head(std::size_t dimension) {
  constexpr std::size_t kRank = 32;
  Random random(3);
  TokenHead head{Matrix<float>(kRank, dimension), Matrix<float>(kRank, kRank), Matrix<float>(kRank, dimension), {}};
  for (Matrix<float>* part : {&head.states, &head.weights, &head.embeddings}) {
    for (float& value : part->values()) value = static_cast<float>(0.01 * random.normal());
  }
  return head;
}

/// A few random tokens, and what the model writes after them.
EncodedPrompt written_prompt(const Backbone& backbone, GenerationSettings settings, std::size_t tokens) {
  constexpr std::size_t kFirst = 4;
  Random random(2);
  EncodedPrompt prompt;
  while (prompt.tokens.size() < std::min(kFirst, tokens)) {
    const auto token = static_cast<Token>(random.below(backbone.tokenizer().size()));
    if (!backbone.tokenizer().is_control(token)) prompt.tokens.push_back(token);
  }
  if (tokens <= kFirst) return prompt;
  settings.max_tokens = tokens - kFirst;
  Generator generator(backbone, settings, kFirst, 1, 1);
  const std::vector<Token> text = generator.generate(prompt).front().tokens;
  prompt.tokens.insert(prompt.tokens.end(), text.begin(), text.end());
  return prompt;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

std::size_t number(int count, char** arguments, int index, std::size_t standard) {
  return index < count ? std::strtoul(arguments[index], nullptr, 10) : standard;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    fmt::print(stderr,
               "usage: bench_guidance MODEL [ROUNDS] [NEW_TOKENS] [PROMPT_TOKENS] [THREADS] [PRUNED] [DEVICE]\n");
    return 2;
  }
  ModelFile model{std::filesystem::path(arguments[1])};
  model.device.device = count > 7 ? arguments[7] : "cpu";
  const Backbone backbone(model);
  const std::size_t rounds = number(count, arguments, 2, 5);
  const std::size_t new_tokens = number(count, arguments, 3, 64);
  const auto threads = static_cast<int>(number(count, arguments, 5, 1));
  const Head head = random_head(backbone.identity().dimension);

  GenerationSettings settings;
  settings.max_tokens = new_tokens;
  const bool pruned = number(count, arguments, 6, 0) != 0;
  if (!pruned) {
    settings.sampling.top_p = 1;
    settings.sampling.top_k = 15;
  }
  for (std::size_t i = 0; i < backbone.tokenizer().size(); ++i) {
    const auto token = static_cast<Token>(i);
    const double never = -std::numeric_limits<double>::infinity();
    if (backbone.tokenizer().is_end(token)) settings.sampling.logit_bias[token] = never;
  }
  const EncodedPrompt prompt = written_prompt(backbone, settings, number(count, arguments, 4, 192));
  const std::vector<std::string> names{"unguided", "branch, N = 5", "branch, N = 1", "token", "re-forward, N = 5"};
  std::vector<GenerationSettings> all(4, settings);
  const TokenTilt tilt(random_token_head(head.dimension()), OutputMatrix(backbone), 1);
  all[3].tilt = &tilt;
  for (const std::size_t i : {1u, 2u}) {
    all[i].reward = RewardHead{&head, {}};
    all[i].branch =
        BranchSettings{.every = i == 1 ? 5 : 1, .top_p = pruned ? BranchSettings{}.top_p : 1, .score_all = !pruned};
  }
  // A few tokens of the rival are enough; the others' prompt is evaluated once, outside of their rate.
  GenerationSettings few = all[1];
  few.max_tokens = std::min<std::size_t>(new_tokens, 5);
  ReforwardSampler rival(backbone, few, prompt.tokens.size() + new_tokens);

  std::vector<std::vector<double>> rates(names.size());
  std::vector<std::vector<double>> ratios(names.size());
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      double seconds = 0;
      double tokens = 0;
      if (i < all.size()) {
        GenerationSettings one = all[i];
        one.max_tokens = 1;
        one.branch.reset();
        Generator first(backbone, one, prompt.tokens.size(), 1, threads);
        Generator whole(backbone, all[i], prompt.tokens.size(), 1, threads);
        const double start = monotonic_s();
        first.generate(prompt);
        const double begun = monotonic_s();
        whole.generate(prompt);
        seconds = (monotonic_s() - begun) - (begun - start);
        tokens = static_cast<double>(new_tokens - 1);
      } else {
        const double start = monotonic_s();
        tokens = static_cast<double>(rival.write(prompt.tokens).size());
        seconds = monotonic_s() - start;
      }
      rates[i].push_back(tokens / seconds);
      ratios[i].push_back(rates[i].back() / rates[0].back());
    }
  }
  std::vector<float> state(head.dimension(), 1.0f);
  std::vector<float> logits(backbone.identity().vocabulary);
  constexpr int kTilts = 500;
  const double tilts_begun = monotonic_s();
  for (int i = 0; i < kTilts; ++i) tilt.add(state, 1, logits, nullptr);
  const double tilt_us = (monotonic_s() - tilts_begun) * 1e6 / kTilts;
  fmt::print("a tilt by itself: {:.1f} us\n", tilt_us);
  fmt::print("{}: {} rounds of {} tokens after {}\n{:>20}{:>12}{:>12}\n", backbone.identity().name, rounds, new_tokens,
             prompt.tokens.size(), "", "tokens/s", "ratio");
  for (std::size_t i = 0; i < names.size(); ++i) {
    fmt::print("{:>20}{:>12.1f}{:>12.3f}\n", names[i], median(rates[i]), median(ratios[i]));
  }
}
