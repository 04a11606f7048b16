#include "judge/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/random.h"
#include "solver/loss.h"

namespace coala {
namespace {

constexpr int kResamples = 1000;
constexpr double kEqual = 1e-9;  ///< scores closer than this are a tie

/// a of P(win) = sigmoid(a + b x) for soft outcomes, by Newton's method. A small ridge keeps it finite where one side
/// wins everywhere.
double intercept(std::span<const double> won, std::span<const double> x, std::span<const std::size_t> rows) {
  constexpr double kRidge = 1e-3;
  double a = 0;
  double b = 0;
  for (int step = 0; step < 30; ++step) {
    double ga = kRidge * a, gb = kRidge * b, haa = kRidge, hab = 0, hbb = kRidge;
    for (const std::size_t i : rows) {
      const double p = sigmoid(a + b * x[i]);
      const double weight = p * (1 - p);
      ga += p - won[i];
      gb += (p - won[i]) * x[i];
      haa += weight;
      hab += weight * x[i];
      hbb += weight * x[i] * x[i];
    }
    const double determinant = haa * hbb - hab * hab;
    const double da = (hbb * ga - hab * gb) / determinant;
    const double db = (haa * gb - hab * ga) / determinant;
    a -= da;
    b -= db;
    if (std::abs(da) + std::abs(db) < 1e-10) break;
  }
  return a;
}

}  // namespace

Comparison compare(const JudgedTexts& texts, const JudgedTexts& others, std::span<const std::int64_t> prompts,
                   std::uint64_t seed) {
  const std::size_t n = texts.scores.size();
  std::vector<double> won(n);
  std::vector<double> longer(n);
  Comparison result;
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double difference = texts.scores[i] - others.scores[i];
    won[i] = difference > kEqual ? 1 : difference < -kEqual ? 0 : 0.5;
    result.win_rate += won[i] / static_cast<double>(n);
    result.ties += won[i] == 0.5 ? 1 / static_cast<double>(n) : 0;
    longer[i] = static_cast<double>(texts.length[i] - others.length[i]);
    squares += longer[i] * longer[i];
  }
  const double deviation = std::sqrt(squares / static_cast<double>(n));
  for (double& value : longer) value = deviation > 0 ? std::tanh(value / deviation) : 0;
  result.win_rate_ci95 = bootstrap_mean(won, prompts, seed);

  std::map<std::int64_t, std::vector<std::size_t>> by_prompt;
  for (std::size_t i = 0; i < n; ++i) by_prompt[prompts[i]].push_back(i);
  std::vector<const std::vector<std::size_t>*> clusters;
  std::vector<std::size_t> rows;
  for (const auto& [prompt, members] : by_prompt) {
    clusters.push_back(&members);
    rows.insert(rows.end(), members.begin(), members.end());
  }
  result.length_controlled_win_rate = sigmoid(intercept(won, longer, rows));
  Random random(seed);
  std::vector<double> rates;
  for (int k = 0; k < kResamples; ++k) {
    rows.clear();
    for (std::size_t c = 0; c < clusters.size(); ++c) {
      const auto& members = *clusters[random.below(clusters.size())];
      rows.insert(rows.end(), members.begin(), members.end());
    }
    rates.push_back(sigmoid(intercept(won, longer, rows)));
  }
  std::ranges::sort(rates);
  result.length_controlled_win_rate_ci95 = {rates[kResamples / 40], rates[kResamples - 1 - kResamples / 40]};
  return result;
}

Diversity diversity(std::span<const std::vector<Token>> texts) {
  std::set<Token> tokens;
  std::set<std::pair<Token, Token>> pairs;
  std::size_t token_count = 0, pair_count = 0, runs = 0, repeated = 0;
  for (const std::vector<Token>& text : texts) {
    tokens.insert(text.begin(), text.end());
    token_count += text.size();
    for (std::size_t i = 0; i + 1 < text.size(); ++i, ++pair_count) pairs.insert({text[i], text[i + 1]});
    std::set<std::vector<Token>> seen;
    for (std::size_t i = 0; i + 4 <= text.size(); ++i, ++runs) {
      const auto first = text.begin() + static_cast<std::ptrdiff_t>(i);
      repeated += seen.insert({first, first + 4}).second ? 0 : 1;
    }
  }
  const auto share = [](std::size_t part, std::size_t all) {
    return all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all);
  };
  return {share(tokens.size(), token_count), share(pairs.size(), pair_count), share(repeated, runs)};
}

}  // namespace coala
