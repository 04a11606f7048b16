#include "decode/branch_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace coala {
namespace {

void check_range(const char* option, double value, bool good, const char* range) {
  if (good) return;
  throw Error(ErrorCode::BadUsage, fmt::format("{} is {}; it must be {}", option, value, range));
}

}  // namespace

void BranchSettings::validate() const {
  check_range("guidance-scale", scale, std::abs(scale) <= 1e6, "-1000000 to 1000000");
  check_range("guide-every", every, every >= 1, "1 or more");
  // A session holds 256 sequences; the prompt and the reply are two of them.
  check_range("num-candidates", candidates, candidates >= 2 && candidates <= 254, "2 to 254");
  check_range("guide-top-p", top_p, top_p > 0 && top_p <= 1, "above 0 and at most 1");
  check_range("look-ahead", look_ahead, look_ahead >= 1 && look_ahead <= 64, "1 to 64");
}

double BranchSettings::most_added() const {
  return normalisation == Normalisation::MinMax ? std::abs(scale) : std::numeric_limits<double>::infinity();
}

std::vector<double> normalised(std::span<const double> scores, Normalisation normalisation) {
  std::vector<double> result(scores.begin(), scores.end());
  if (scores.empty() || normalisation == Normalisation::Raw) return result;
  const auto [least, most] = std::ranges::minmax(scores);
  double centre = least;
  double spread = most - least;
  if (normalisation == Normalisation::ZScore) {
    double sum = 0;
    double squares = 0;
    for (const double score : scores) sum += score;
    centre = sum / static_cast<double>(scores.size());
    for (const double score : scores) squares += (score - centre) * (score - centre);
    spread = std::sqrt(squares / static_cast<double>(scores.size()));
  }
  for (double& score : result) score = most > least ? (score - centre) / spread : 0;
  return result;
}

}  // namespace coala
