#include "eval/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/hash.h"
#include "solver/loss.h"

namespace coala {
namespace {

Reliability reliability(std::span<const double> margins) {
  constexpr int kBins = 10;
  struct Sums {
    double confidence = 0;
    double right = 0;
  };
  std::array<Sums, kBins> sums;
  Reliability result;
  for (int k = 0; k < kBins; ++k) result.bins.push_back({0.5 + 0.05 * k, 0.5 + 0.05 * (k + 1), 0, {}, {}});
  for (const double margin : margins) {
    const double confidence = sigmoid(std::abs(margin));
    const auto bin = static_cast<std::size_t>(std::min((confidence - 0.5) * 2 * kBins, kBins - 1.0));
    result.bins[bin].rows += 1;
    sums[bin].confidence += confidence;
    sums[bin].right += margin > 0 ? 1.0 : margin == 0 ? 0.5 : 0.0;
  }
  for (std::size_t k = 0; k < sums.size(); ++k) {
    ReliabilityBin& bin = result.bins[k];
    if (bin.rows == 0) continue;
    result.expected_error += std::abs(sums[k].confidence - sums[k].right) / static_cast<double>(margins.size());
    bin.confidence = sums[k].confidence / static_cast<double>(bin.rows);
    bin.accuracy = sums[k].right / static_cast<double>(bin.rows);
  }
  return result;
}

}  // namespace

double fit_temperature(std::span<const double> margins) {
  if (std::ranges::all_of(margins, [](double margin) { return margin == 0; })) return 1;
  // The loss is convex in the slope 1 / T, so the sign of its derivative tells the side; bisection over log T.
  const auto wants_more_slope = [&](double slope) {
    double derivative = 0;
    for (const double margin : margins) derivative -= margin * sigmoid(-slope * margin);
    return derivative <= 0;  // zero: all on the right side, and too far out to tell
  };
  double low = std::log(1e-3);
  double high = std::log(1e3);
  for (int step = 0; step < 40; ++step) {
    const double middle = (low + high) / 2;
    (wants_more_slope(std::exp(-middle)) ? high : low) = middle;
  }
  return std::exp((low + high) / 2);
}

Calibration calibrate(std::span<const double> margins, std::span<const std::int64_t> prompts, std::uint64_t seed) {
  Calibration result;
  result.temperature = fit_temperature(margins);
  result.raw = reliability(margins);
  std::vector<std::size_t> half(margins.size());
  std::vector<double> of_half[2];
  for (std::size_t i = 0; i < margins.size(); ++i) {
    half[i] = hash64("calibration " + std::to_string(prompts[i]), seed) % 2;
    of_half[half[i]].push_back(margins[i]);
  }
  const double temperature[2] = {fit_temperature(of_half[0]), fit_temperature(of_half[1])};
  std::vector<double> scaled(margins.size());
  for (std::size_t i = 0; i < margins.size(); ++i) scaled[i] = margins[i] / temperature[1 - half[i]];
  result.scaled = reliability(scaled);
  return result;
}

}  // namespace coala
