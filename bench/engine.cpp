// What do requests cost each other? Three questions, each answered by rounds in turn; printed are medians of the ratios
// within a round, with the smallest and the largest.
//  1. Tokens per second of eight replies with eight heads, each at a scale of its own, against eight with one head.
//  2. The longest step of eight replies while a prompt of 2,000 tokens arrives in pieces, against the time of a step
//     and of the piece by itself.
//  3. Evaluated tokens, and the wait, of a prompt that shares its first 500 tokens with one before it.
// Usage: bench_engine MODEL [ROUNDS = 5] [NEW_TOKENS = 64] [THREADS = 1]

#include "decode/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/resources.h"
#include "decode/tilt_mixture.h"
#include "decode/token_tilt.h"

namespace {

using namespace coala;

constexpr std::size_t kReplies = 8;
constexpr std::size_t kPromptTokens = 64;
constexpr std::size_t kPromptRows = 128;

TokenHead random_token_head(std::size_t dimension, std::uint64_t seed) {
  constexpr std::size_t kRank = 32;
  Random random(seed);
  TokenHead head{Matrix<float>(kRank, dimension), Matrix<float>(kRank, kRank), Matrix<float>(kRank, dimension), {}};
  for (Matrix<float>* part : {&head.states, &head.weights, &head.embeddings}) {
    for (float& value : part->values()) value = static_cast<float>(0.01 * random.normal());
  }
  return head;
}

EncodedPrompt random_prompt(const Backbone& backbone, std::size_t tokens, std::uint64_t seed) {
  Random random(seed);
  EncodedPrompt prompt;
  while (prompt.tokens.size() < tokens) {
    const auto token = static_cast<Token>(random.below(backbone.tokenizer().size()));
    if (!backbone.tokenizer().is_control(token)) prompt.tokens.push_back(token);
  }
  return prompt;
}

/// Never ends a reply before its last token.
GenerationSettings endless(const Backbone& backbone, std::size_t tokens) {
  GenerationSettings settings{.max_tokens = tokens, .measures = false};
  for (std::size_t i = 0; i < backbone.tokenizer().size(); ++i) {
    const auto token = static_cast<Token>(i);
    if (backbone.tokenizer().is_end(token)) {
      settings.sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
    }
  }
  return settings;
}

double seconds_of(const std::function<void()>& work) {
  const double start = monotonic_s();
  work();
  return monotonic_s() - start;
}

void run(Engine& engine) {
  while (engine.step()) {
  }
}

void print_ratios(const char* name, std::vector<double> ratios) {
  std::ranges::sort(ratios);
  fmt::print("{}: {:.3f} [{:.3f}, {:.3f}]\n", name, ratios[ratios.size() / 2], ratios.front(), ratios.back());
}

void compare_heads(const Backbone& backbone, std::size_t rounds, const GenerationSettings& settings, int threads) {
  const OutputMatrix output(backbone);
  std::vector<std::unique_ptr<TokenTilt>> heads;
  std::vector<std::unique_ptr<TiltMixture>> own;
  for (std::size_t i = 0; i < kReplies; ++i) {
    heads.push_back(std::make_unique<TokenTilt>(random_token_head(backbone.identity().dimension, 10 + i), output, 1.0));
    own.push_back(std::make_unique<TiltMixture>(
        std::vector<TiltMixture::Part>{{heads[i].get(), 0.5 + 0.1 * static_cast<double>(i)}}));
  }
  Engine engine(backbone,
                {.streams = kReplies, .cells = kReplies * (kPromptTokens + settings.max_tokens), .threads = threads});
  const auto write = [&](const std::function<const LogitsProcessor*(std::size_t)>& tilt_of) {
    for (std::size_t i = 0; i < kReplies; ++i) {
      Request request{random_prompt(backbone, kPromptTokens, i), settings, {}, {}};
      request.settings.tilt = tilt_of(i);
      engine.submit(std::move(request));
    }
    engine.step();  // the prompts
    return seconds_of([&] { run(engine); });
  };
  const auto plain = [](std::size_t) -> const LogitsProcessor* { return nullptr; };
  const auto one = [&](std::size_t) -> const LogitsProcessor* { return heads[0].get(); };
  const auto eight = [&](std::size_t i) -> const LogitsProcessor* { return own[i].get(); };
  write(plain);
  std::vector<double> against_one, against_plain;
  for (std::size_t round = 0; round < rounds; ++round) {
    const double unguided = write(plain);
    const double same = write(one);
    const double different = write(eight);
    against_one.push_back(same / different);
    against_plain.push_back(unguided / same);
    fmt::print("  {:.1f} tokens/s unguided, {:.1f} with one head, {:.1f} with eight\n",
               static_cast<double>(kReplies * settings.max_tokens) / unguided,
               static_cast<double>(kReplies * settings.max_tokens) / same,
               static_cast<double>(kReplies * settings.max_tokens) / different);
  }
  print_ratios("speed with one head, of unguided", against_plain);
  print_ratios("speed with eight heads and scales, of one head", against_one);
}

void compare_long_prompt(const Backbone& backbone, std::size_t rounds, int threads) {
  const std::size_t context = backbone.identity().context_tokens;
  const std::size_t tokens = std::min<std::size_t>(2000, context - 8);
  const GenerationSettings settings = endless(backbone, 48);
  std::vector<double> pieces;
  for (std::size_t round = 0; round < rounds; ++round) {
    Engine engine(backbone, {.streams = kReplies + 1,
                             .cells = kReplies * (kPromptTokens + settings.max_tokens) + tokens + 8,
                             .threads = threads,
                             .prompt_rows = kPromptRows});
    for (std::size_t i = 0; i < kReplies; ++i) {
      engine.submit({random_prompt(backbone, kPromptTokens, i), settings, {}, {}});
    }
    while (engine.writing() < kReplies) engine.step();
    std::vector<double> before;
    for (int i = 0; i < 8; ++i) before.push_back(seconds_of([&] { engine.step(); }));
    std::ranges::sort(before);
    Request request{random_prompt(backbone, tokens, 99), endless(backbone, 1), {}, {}};
    engine.submit(std::move(request));
    double longest = 0;
    const std::uint64_t rows = engine.counts().rows;
    std::uint64_t most_rows = 0;
    while (engine.counts().rows - rows < tokens) {
      const std::uint64_t at = engine.counts().rows;
      longest = std::max(longest, seconds_of([&] { engine.step(); }));
      most_rows = std::max(most_rows, engine.counts().rows - at);
    }
    fmt::print(
        "  a step of {} replies {:.1f} ms; the longest with a piece of a prompt of {} tokens {:.1f} ms, {} rows\n",
        kReplies, 1e3 * before[4], tokens, 1e3 * longest, most_rows);
    // The time that a prompt of kPromptRows tokens takes at the end of the longest one, by itself.
    Engine alone(backbone, {.streams = 1, .cells = tokens + 8, .threads = threads, .prompt_rows = kPromptRows});
    Request same{random_prompt(backbone, tokens, 99), endless(backbone, 1), {}, {}};
    alone.submit(std::move(same));
    double piece = 0;
    while (alone.waiting() > 0 || alone.counts().rows < tokens) {
      piece = std::max(piece, seconds_of([&] { alone.step(); }));
    }
    pieces.push_back((longest - before[4]) / piece);
  }
  print_ratios(
      fmt::format("delay of a token by a long prompt, of {} rows of the prompt by themselves", kPromptRows).c_str(),
      pieces);
}

void compare_common_prompt(const Backbone& backbone, std::size_t rounds, int threads) {
  constexpr std::size_t kCommon = 500;
  constexpr std::size_t kOwn = 60;
  const GenerationSettings settings = endless(backbone, 1);
  std::vector<double> waits;
  std::uint64_t evaluated = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    Engine engine(backbone, {.streams = 2, .cells = 4 * (kCommon + kOwn), .threads = threads, .kept_texts = 2});
    const EncodedPrompt first = random_prompt(backbone, kCommon + kOwn, 5);
    EncodedPrompt second = first;
    const EncodedPrompt other = random_prompt(backbone, kOwn, 6);
    std::ranges::copy(other.tokens, second.tokens.begin() + kCommon);
    engine.submit({first, settings, {}, {}});
    const double whole = seconds_of([&] { run(engine); });
    const std::uint64_t rows = engine.counts().rows;
    engine.submit({second, settings, {}, {}});
    const double shared = seconds_of([&] { run(engine); });
    evaluated = engine.counts().rows - rows;
    engine.submit({random_prompt(backbone, kOwn, 7), settings, {}, {}});
    const double own = seconds_of([&] { run(engine); });
    fmt::print(
        "  {} tokens {:.0f} ms; {} in common with it and {} others {:.0f} ms, {} tokens; {} by themselves {:.0f} ms\n",
        kCommon + kOwn, 1e3 * whole, kCommon, kOwn, 1e3 * shared, evaluated, kOwn, 1e3 * own);
    waits.push_back(shared / whole);
  }
  print_ratios("wait for a prompt that shares 500 tokens, of one that does not", waits);
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, int standard) { return argc > i ? std::atoi(argv[i]) : standard; };
  if (argc < 2) {
    fmt::print("usage: bench_engine MODEL [ROUNDS] [NEW_TOKENS] [THREADS]\n");
    return 2;
  }
  try {
    const Backbone backbone{std::filesystem::path(argv[1])};
    const auto rounds = static_cast<std::size_t>(argument(2, 5));
    const int threads = argument(4, 1);
    compare_heads(backbone, rounds, endless(backbone, static_cast<std::size_t>(argument(3, 64))), threads);
    compare_long_prompt(backbone, rounds, threads);
    compare_common_prompt(backbone, rounds, threads);
  } catch (const std::exception& error) {
    fmt::print("{}\n", error.what());
    return 1;
  }
}
