#include "report/frontier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "report/markup.h"

namespace coala {
namespace {

constexpr double kWidth = 640, kHeight = 420, kLeft = 70, kRight = 130, kTop = 20, kBottom = 50;
constexpr std::array<const char*, 6> kColours{"#7f7f7f", "#1f77b4", "#d95f02", "#1b9e77", "#9467bd", "#c44e52"};

struct Range {
  double low = 0, high = 1;
  void widen() {
    const double room = high > low ? 0.06 * (high - low) : 0.5;
    low -= room;
    high += room;
  }
  double at(double value) const { return (value - low) / (high - low); }
};

}  // namespace

std::string frontier_svg(const std::vector<FrontierCurve>& curves, const std::string& judge) {
  Range x{1e300, -1e300};
  Range y{1e300, -1e300};
  for (const FrontierCurve& curve : curves) {
    for (const FrontierCurve::Point& point : curve.points) {
      x = {std::min(x.low, point.perplexity), std::max(x.high, point.perplexity)};
      y = {std::min(y.low, point.score), std::max(y.high, point.score)};
    }
  }
  x.widen();
  y.widen();
  const auto px = [&](double value) { return kLeft + x.at(value) * (kWidth - kLeft - kRight); };
  const auto py = [&](double value) { return kHeight - kBottom - y.at(value) * (kHeight - kTop - kBottom); };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"judge's score "
      "against "
      "perplexity\" font-family=\"sans-serif\" font-size=\"12\">\n<style>text{{fill:#333}}.axis{{stroke:#999}}"
      "@media (prefers-color-scheme: dark){{text{{fill:#ddd}}}}</style>\n",
      kWidth, kHeight);
  for (int k = 0; k <= 4; ++k) {
    const double xv = x.low + k * (x.high - x.low) / 4;
    const double yv = y.low + k * (y.high - y.low) / 4;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{:.3g}</text>\n", px(xv),
                       kHeight - kBottom + 18, xv);
    svg +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.3g}</text>\n", kLeft - 8, py(yv) + 4, yv);
  }
  svg += fmt::format("<path class=\"axis\" fill=\"none\" d=\"M{0} {1}V{2}H{3}\"/>\n", kLeft, kTop, kHeight - kBottom,
                     kWidth - kRight);
  svg +=
      fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">perplexity under the unguided model</text>\n",
                  (kLeft + kWidth - kRight) / 2, kHeight - 12);
  svg += fmt::format(
      "<text transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">mean score by {}</text>\n",
      (kTop + kHeight - kBottom) / 2, escape(judge));
  for (std::size_t c = 0; c < curves.size(); ++c) {
    const FrontierCurve& curve = curves[c];
    const char* colour = kColours[c % kColours.size()];
    std::string line;
    for (const FrontierCurve::Point& point : curve.points) {
      line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", px(point.perplexity), py(point.score));
      svg += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"><title>{} scale {:g}: {:.3f} at {:.3f}"
          "</title></circle>\n",
          px(point.perplexity), py(point.score), colour, escape(curve.name), point.scale, point.score,
          point.perplexity);
    }
    svg += fmt::format("<path fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" d=\"{}\"/>\n", colour, line);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" style=\"fill:{}\">{}</text>\n", kWidth - kRight + 12,
                       kTop + 16 + 18 * static_cast<double>(c), colour, escape(curve.name));
  }
  return svg + "</svg>\n";
}

}  // namespace coala
