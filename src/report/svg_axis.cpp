#include "report/svg_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"

namespace coala {

std::string start_svg(const std::string& name, double height) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n", kSvgWidth,
                     height, escape(name), escape(name));
}

double axis_share(const Axis& axis, double value) {
  const double at = axis.logarithmic ? std::log(std::max(value, axis.low) / axis.low) / std::log(axis.high / axis.low)
                                     : (value - axis.low) / (axis.high - axis.low);
  return std::clamp(at, 0.0, 1.0);
}

double round_step(double least) {
  const double power = std::pow(10, std::floor(std::log10(least)));
  return power * (least / power > 5 ? 10 : least / power > 2 ? 5 : least / power > 1 ? 2 : 1);
}

std::vector<double> ticks(const Axis& axis, int count) {
  std::vector<double> result;
  if (axis.logarithmic) {
    const double decades = std::log10(axis.high / axis.low);
    if (decades >= 1) {
      const int step = std::max(1, static_cast<int>(std::ceil(decades / count)));
      for (int k = static_cast<int>(std::ceil(std::log10(axis.low) - 1e-9)); std::pow(10, k) <= axis.high * 1.000001;
           k += step) {
        result.push_back(std::pow(10, k));
      }
      return result;
    }
  }
  const double step = round_step((axis.high - axis.low) / count);
  for (double k = std::ceil(axis.low / step - 1e-9); k * step <= axis.high + 1e-9 * step; ++k) {
    result.push_back(k == 0 ? 0 : k * step);
  }
  return result;
}

std::string tick_text(double value) {
  return fmt::format("{:.6g}", value);  // six digits: the step is round, but the first tick may be far from zero
}

std::string horizontal_axis(const Axis& axis, double left, double top, double bottom) {
  std::string svg;
  for (const double value : ticks(axis, 5)) {
    const double at = left + axis_share(axis, value) * (kSvgWidth - kSvgRight - left);
    svg += fmt::format("<path class=\"grid\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"/>\n", at, top, bottom);
    svg += fmt::format("<text class=\"faint\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", at,
                       bottom + 14, tick_text(value));
  }
  return svg + fmt::format("<text class=\"faint\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                           (left + kSvgWidth - kSvgRight) / 2, bottom + 30, escape(axis.title));
}

}  // namespace coala
