#include "tally/win_rates.h"

#include <limits>
#include <vector>

#include "eval/intervals.h"
#include "eval/order_statistics.h"

namespace coala {

WinRates win_rates(std::span<const double> preference, std::span<const std::int64_t> prompts) {
  WinRates result;
  const MeanWithError mean = mean_with_error(preference);
  result.rate = mean.mean;
  result.standard_error = mean.standard_error;
  result.clustered95 = rate_interval(preference, prompts);
  std::vector<double> decided;
  std::vector<std::int64_t> decided_prompts;
  for (std::size_t i = 0; i < preference.size(); ++i) {
    if (preference[i] == 0.5) {
      ++result.ties;
      continue;
    }
    const bool won = preference[i] > 0.5;
    ++(won ? result.wins : result.losses);
    decided.push_back(won ? 1 : 0);
    decided_prompts.push_back(prompts[i]);
  }
  const auto wins = static_cast<double>(result.wins);
  const auto games = static_cast<double>(decided.size());
  result.discrete = (wins + 0.5 * static_cast<double>(result.ties)) / static_cast<double>(preference.size());
  if (decided.empty()) {
    result.without_ties = {std::numeric_limits<double>::quiet_NaN(), kNoInterval};
    result.wald95 = kNoInterval;
    return result;
  }
  result.without_ties = {wins / games, proportion_interval(decided, decided_prompts)};
  result.wald95 = wald_interval(wins, games);
  return result;
}

}  // namespace coala
