#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report/plot.h"

namespace coala {

// SVG figures of rows below each other, with the marks of Plot. The name stands above its row, so that names may be
// long on a narrow screen.

/// A row of an interval plot: a value with its interval.
struct IntervalRow {
  std::string name;
  double value = 0;
  double low = 0;  ///< both equal to the value: there is no interval
  double high = 0;
  std::string mark = "a";
  std::string text;  ///< the value as it is shown
};

/// Values with their intervals below each other. @param reference  where a dashed line stands
std::string interval_plot(const std::string& name, const std::vector<IntervalRow>& rows, const Axis& axis,
                          double reference);

/// A row of a bar plot, or of dots on one line.
struct BarRow {
  std::string name;
  double value = 0;
  std::string text;  ///< the value as it is shown
  std::string mark = "a";
};

/// Bars from zero below each other.
std::string bar_plot(const std::string& name, const std::vector<BarRow>& rows);

/// Several values on each of the lines.
struct DotRow {
  std::string name;
  std::vector<std::pair<double, std::string>> dots;  ///< value, mark
};
std::string dot_plot(const std::string& name, const std::vector<DotRow>& rows, const Axis& axis);

}  // namespace coala
