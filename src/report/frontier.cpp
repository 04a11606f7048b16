#include "report/frontier.h"

#include <fmt/format.h>

#include <array>

#include "report/markup.h"
#include "report/svg_axis.h"

namespace coala {
namespace {

constexpr double kWidth = 640, kHeight = 420, kLeft = 70, kRight = 130, kTop = 20, kBottom = 50;
constexpr std::array<const char*, 6> kColours{"#7f7f7f", "#1f77b4", "#d95f02", "#1b9e77", "#9467bd", "#c44e52"};

Axis axis_over(const std::vector<FrontierCurve>& curves, double FrontierCurve::Point::*value) {
  std::vector<double> values;
  for (const FrontierCurve& curve : curves) {
    for (const FrontierCurve::Point& point : curve.points) values.push_back(point.*value);
  }
  return Axis::around(values, {});
}

}  // namespace

std::vector<FrontierCurve> frontier_curves(const GeneratedMetrics& metrics) {
  std::vector<FrontierCurve> curves{{"unguided", {{0, metrics.unguided.perplexity, metrics.unguided.judge_mean}}}};
  for (const GuidedRun& run : metrics.runs) {
    if (run.guidance != curves.back().name) curves.push_back({run.guidance, {}});
    curves.back().points.push_back({run.scale.value_or(1), run.written.perplexity, run.written.judge_mean});
  }
  return curves;
}

std::string frontier_svg(const std::vector<FrontierCurve>& curves, const std::string& judge) {
  const Axis x = axis_over(curves, &FrontierCurve::Point::perplexity);
  const Axis y = axis_over(curves, &FrontierCurve::Point::score);
  const auto px = [&](double value) { return kLeft + axis_share(x, value) * (kWidth - kLeft - kRight); };
  const auto py = [&](double value) { return kHeight - kBottom - axis_share(y, value) * (kHeight - kTop - kBottom); };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"judge's score "
      "against "
      "perplexity\" font-family=\"sans-serif\" font-size=\"12\">\n<style>text{{fill:#333}}.axis{{stroke:#999}}"
      ".grid{{stroke:#999;stroke-opacity:.25}}"
      "@media (prefers-color-scheme: dark){{text{{fill:#ddd}}}}</style>\n",
      kWidth, kHeight);
  for (const double value : ticks(x, 5)) {
    svg += fmt::format("<path class=\"grid\" d=\"M{0:.1f} {1}V{2}\"/>\n", px(value), kTop, kHeight - kBottom);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", px(value),
                       kHeight - kBottom + 18, tick_text(value));
  }
  for (const double value : ticks(y, 5)) {
    svg += fmt::format("<path class=\"grid\" d=\"M{1} {0:.1f}H{2}\"/>\n", py(value), kLeft, kWidth - kRight);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 8, py(value) + 4,
                       tick_text(value));
  }
  svg += fmt::format("<path class=\"axis\" fill=\"none\" d=\"M{0} {1}V{2}H{3}\"/>\n", kLeft, kTop, kHeight - kBottom,
                     kWidth - kRight);
  svg +=
      fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">perplexity under the unguided model</text>\n",
                  (kLeft + kWidth - kRight) / 2, kHeight - 12);
  svg += fmt::format(
      "<text transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">mean score by {}</text>\n",
      (kTop + kHeight - kBottom) / 2, escape(judge));
  for (std::size_t c = curves.size(); c-- > 0;) {  // the first on top
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
    if (curve.points.size() > 1) {
      const FrontierCurve::Point& last = curve.points.back();
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" style=\"fill:{}\">{:g}</text>\n", px(last.perplexity) + 7,
                         py(last.score) + 4, colour, last.scale);
    }
    svg += fmt::format("<path fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" d=\"{}\"/>\n", colour, line);
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" style=\"fill:{}\">{}</text>\n", kWidth - kRight + 12,
                       kTop + 16 + 18 * static_cast<double>(c), colour, escape(curve.name));
  }
  return svg + "</svg>\n";
}

}  // namespace coala
