#pragma once

#include <string>
#include <vector>

#include "eval/generated_metrics.h"

namespace coala {

/// A way of writing at several strengths: what it costs in perplexity, and what it gains.
struct FrontierCurve {
  struct Point {
    double scale = 0;
    double perplexity = 0;
    double score = 0;
  };
  std::string name;
  std::vector<Point> points;  ///< by scale
};

/// The replies as they are written without guidance, and a curve for each way of guiding.
std::vector<FrontierCurve> frontier_curves(const GeneratedMetrics& metrics);

/// A self-contained SVG figure: the judge's mean score against the perplexity of the texts under the unguided model,
/// one curve for each way of writing, its last point marked with the scale. Readable in light and dark.
std::string frontier_svg(const std::vector<FrontierCurve>& curves, const std::string& judge);

}  // namespace coala
