#include "decode/branch_settings.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace coala {

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
