#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"
#include "report/svg_axis.h"

namespace coala {
namespace {

constexpr double kHeight = 230;
constexpr double kLeft = 66, kTop = 12, kBottom = 42;

}  // namespace

Axis Axis::around(const std::vector<double>& values, std::string title) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double room = *high > *low ? 0.06 * (*high - *low) : std::max(0.05 * std::abs(*high), 1e-6);
  return {*low - room, *high + room, std::move(title)};
}

double Plot::px(double x) const {
  return kLeft + axis_share(x_, x) * (kSvgWidth - kLeft - kSvgRight);
}

double Plot::py(double y) const {
  return kHeight - kBottom - axis_share(y_, y) * (kHeight - kTop - kBottom);
}

Plot::Plot(const std::string& name, Axis x, Axis y)
    : x_(std::move(x)), y_(std::move(y)), svg_(start_svg(name, kHeight)) {
  svg_ += horizontal_axis(x_, kLeft, kTop, kHeight - kBottom);
  for (const double value : ticks(y_, 4)) {
    svg_ += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}H{}\"/>\n", kLeft, py(value), kSvgWidth - kSvgRight);
    svg_ += fmt::format("<text class=\"faint\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 5,
                        py(value) + 4, tick_text(value));
  }
  svg_ +=
      fmt::format("<text class=\"faint\" transform=\"translate(10 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                  (kTop + kHeight - kBottom) / 2, escape(y_.title));
}

void Plot::line(const std::vector<Point>& points, const std::string& mark) {
  std::string path;
  for (const auto& [x, y] : points) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", px(x), py(y));
  svg_ += fmt::format("<path class=\"line mark-{}\" d=\"{}\"/>\n", mark, path);
}

void Plot::dots(const std::vector<Point>& points, const std::string& mark, const std::string& shape, double radius) {
  svg_ += fmt::format("<g class=\"{} mark-{}\">\n", shape, mark);
  for (const auto& [x, y] : points) {
    svg_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n", px(x), py(y), radius);
  }
  svg_ += "</g>\n";
}

void Plot::whisker(double x, double low, double high, const std::string& mark) {
  svg_ +=
      fmt::format("<path class=\"line thin mark-{}\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", mark, px(x), py(low), py(high));
}

void Plot::column(double from, double to, double height, const std::string& mark, const std::string& tip) {
  svg_ += fmt::format(
      "<rect class=\"fill mark-{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{}</title>"
      "</rect>\n",
      mark, px(from) + 0.5, py(height), std::max(0.5, px(to) - px(from) - 1), py(0) - py(height), escape(tip));
}

void Plot::vertical_rule(double x) {
  svg_ += fmt::format("<path class=\"rule\" d=\"M{:.1f} {}V{}\"/>\n", px(x), kTop, kHeight - kBottom);
}

void Plot::rule(Point from, Point to) {
  svg_ += fmt::format("<path class=\"rule\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/>\n", px(from.first), py(from.second),
                      px(to.first), py(to.second));
}

void Plot::label(Point at, const std::string& text) {
  const bool right = px(at.first) > kSvgWidth / 2;
  svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", px(at.first) + (right ? -7 : 7),
                      std::max(kTop + 9, py(at.second) - 7), right ? "end" : "start", escape(text));
}

std::string Plot::finish() {
  return svg_ + "</svg>\n";
}

}  // namespace coala
