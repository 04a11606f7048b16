// coala's side of bench/speed.py: the same work as bench_plain_llama does, through a Session and a StateEvaluator.
// Reads PROMPT_TOKENS tokens for their states and writes NEW_TOKENS greedily in SEQUENCES texts at once, and prints
// tokens per second of both.
// Usage: bench_session MODEL [PROMPT_TOKENS = 256] [NEW_TOKENS = 96] [SEQUENCES = 1] [THREADS = 1] [DEVICE = cpu]

#include "lm/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "core/resources.h"
#include "lm/hidden_states.h"

namespace {

using namespace coala;

std::size_t number(int count, char** arguments, int index, std::size_t standard) {
  return index < count ? std::strtoul(arguments[index], nullptr, 10) : standard;
}

double seconds_to_read(const Backbone& backbone, const std::vector<Token>& prompt, int threads) {
  StateEvaluator evaluator(backbone, {.longest_tokens = prompt.size(), .threads = threads});
  const std::vector<TokenSequence> texts{prompt};
  const auto read = [&] { evaluator.evaluate(texts, [](std::size_t, std::size_t, std::span<const float>) {}); };
  read();  // once without the clock: the pages of the weights come in
  const double begun = monotonic_s();
  read();
  return monotonic_s() - begun;
}

double seconds_to_write(const Backbone& backbone, const std::vector<Token>& prompt, std::size_t tokens, int sequences,
                        int threads) {
  const std::size_t cells = prompt.size() + static_cast<std::size_t>(sequences) * (tokens + 1);
  Session session(backbone, {.sequences = sequences, .cells = cells, .threads = threads});
  session.start(0, prompt);
  for (int s = 1; s < sequences; ++s) session.fork(0, s);
  std::vector<Session::Row> rows;
  for (int s = 0; s < sequences; ++s) rows.push_back({.sequence = s, .token = 300});
  const double begun = monotonic_s();
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto outputs = session.step(rows);
    for (std::size_t s = 0; s < rows.size(); ++s) {
      rows[s].token = static_cast<Token>(std::ranges::max_element(outputs[s].logits) - outputs[s].logits.begin());
    }
  }
  return monotonic_s() - begun;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    fmt::print(stderr, "usage: bench_session MODEL [PROMPT_TOKENS] [NEW_TOKENS] [SEQUENCES] [THREADS] [DEVICE]\n");
    return 2;
  }
  ModelFile model{std::filesystem::path(arguments[1])};
  model.device.device = count > 6 ? arguments[6] : "cpu";
  const Backbone backbone(model);
  const std::size_t new_tokens = number(count, arguments, 3, 96);
  const auto sequences = static_cast<int>(number(count, arguments, 4, 1));
  const auto threads = static_cast<int>(number(count, arguments, 5, 1));
  std::vector<Token> prompt;
  for (std::size_t i = 0; i < number(count, arguments, 2, 256); ++i) {
    prompt.push_back(static_cast<Token>((i * 31 + 7) % 2000 + 300));
  }
  const double reading_s = seconds_to_read(backbone, prompt, threads);
  const double writing_s = seconds_to_write(backbone, prompt, new_tokens, sequences, threads);
  fmt::print("{:.2f} {:.2f}\n", static_cast<double>(prompt.size()) / reading_s,
             static_cast<double>(new_tokens) * sequences / writing_s);
}
