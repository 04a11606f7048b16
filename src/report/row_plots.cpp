#include "report/row_plots.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/markup.h"
#include "report/svg_axis.h"

namespace coala {
namespace {

// Plots of rows: the name above, its mark below, so that names may be long on a narrow screen.
constexpr double kRowHeight = 36;
constexpr double kRowLeft = 10;

std::string row_name(double top, const std::string& name, const std::string& text) {
  return fmt::format(
      "<text x=\"{}\" y=\"{:.1f}\">{}</text>\n<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kRowLeft,
      top + 13, escape(name), kSvgWidth - kSvgRight, top + 13, escape(text));
}

double across(const Axis& axis, double value) {
  return kRowLeft + axis_share(axis, value) * (kSvgWidth - kSvgRight - kRowLeft);
}

}  // namespace

std::string interval_plot(const std::string& name, const std::vector<IntervalRow>& rows, const Axis& axis,
                          double reference) {
  const double bottom = kRowHeight * static_cast<double>(rows.size()) + 4;
  std::string svg = start_svg(name, bottom + 36);
  svg += horizontal_axis(axis, kRowLeft, 0, bottom);
  svg += fmt::format("<path class=\"rule\" d=\"M{:.1f} 0V{:.1f}\"/>\n", across(axis, reference), bottom);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const IntervalRow& row = rows[k];
    const double top = kRowHeight * static_cast<double>(k);
    svg += row_name(top, row.name, row.text);
    svg += fmt::format("<path class=\"line mark-{}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", row.mark, across(axis, row.low),
                       top + 24, across(axis, row.high));
    svg += fmt::format("<circle class=\"fill mark-{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"/>\n", row.mark,
                       across(axis, row.value), top + 24);
  }
  return svg + "</svg>\n";
}

std::string bar_plot(const std::string& name, const std::vector<BarRow>& rows) {
  double most = 0;
  for (const BarRow& row : rows) most = std::max(most, row.value);
  const Axis axis{0, most > 0 ? most : 1, ""};
  std::string svg = start_svg(name, kRowHeight * static_cast<double>(rows.size()) + 4);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const double top = kRowHeight * static_cast<double>(k);
    svg += row_name(top, rows[k].name, rows[k].text);
    svg += fmt::format("<rect class=\"fill mark-{}\" x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"11\" rx=\"2\"/>\n",
                       rows[k].mark, kRowLeft, top + 19, std::max(1.0, across(axis, rows[k].value) - kRowLeft));
  }
  return svg + "</svg>\n";
}

std::string dot_plot(const std::string& name, const std::vector<DotRow>& rows, const Axis& axis) {
  const double bottom = kRowHeight * static_cast<double>(rows.size()) + 4;
  std::string svg = start_svg(name, bottom + 36);
  svg += horizontal_axis(axis, kRowLeft, 0, bottom);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const double top = kRowHeight * static_cast<double>(k);
    svg += row_name(top, rows[k].name, "");
    for (const auto& [value, mark] : rows[k].dots) {
      svg += fmt::format("<circle class=\"fill mark-{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"/>\n", mark,
                         across(axis, value), top + 24);
    }
  }
  return svg + "</svg>\n";
}

}  // namespace coala
