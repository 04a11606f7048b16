#include "judge/win_rate.h"

#include <cmath>

#include "eval/intervals.h"
#include "eval/length_control.h"

namespace coala {

WinRate win_rate(const JudgedTexts& texts, const JudgedTexts& others, std::span<const std::int64_t> prompts) {
  constexpr double kEqual = 1e-9;  // scores closer than this are a tie
  const std::size_t n = texts.scores.size();
  std::vector<double> won(n);
  std::vector<double> longer(n);
  WinRate result;
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double difference = texts.scores[i] - others.scores[i];
    won[i] = difference > kEqual ? 1 : difference < -kEqual ? 0 : 0.5;
    result.rate += won[i];
    result.ties += won[i] == 0.5 ? 1 : 0;
    longer[i] = static_cast<double>(texts.length[i] - others.length[i]);
    squares += longer[i] * longer[i];
  }
  result.rate /= static_cast<double>(n);
  result.ties /= static_cast<double>(n);
  const double deviation = std::sqrt(squares / static_cast<double>(n));
  for (double& value : longer) value = deviation > 0 ? std::tanh(value / deviation) : 0;
  result.ci95 = rate_interval(won, prompts);
  const LengthControlled controlled = length_controlled_accuracy(won, longer, prompts);
  result.length_controlled = controlled.accuracy;
  result.length_controlled_ci95 = controlled.ci95;
  return result;
}

}  // namespace coala
