#pragma once

#include <string>
#include <utility>
#include <vector>

namespace coala {

/// One axis of a plot.
struct Axis {
  double low = 0;
  double high = 1;
  std::string title;
  bool logarithmic = false;  ///< then low > 0

  /// An axis that holds the values with some room; of a single value, a range around it.
  static Axis around(const std::vector<double>& values, std::string title);
};

using Point = std::pair<double, double>;

/// An SVG figure in the colours of the page (report/page.cpp): marks are "a", "b", "c" (muted), "good", "bad". Made for
/// a width of 328 CSS pixels and more. What is outside of the axes is drawn on their edge.
class Plot {
 public:
  /// @param name  what the figure shows, for those who cannot see it
  Plot(const std::string& name, Axis x, Axis y);

  void line(const std::vector<Point>& points, const std::string& mark);
  /// @param shape  "fill", "ring", or "cloud" for points that lie on each other
  void dots(const std::vector<Point>& points, const std::string& mark, const std::string& shape, double radius);
  /// A vertical bar of an error.
  void whisker(double x, double low, double high, const std::string& mark);
  /// A column from zero. @param tip  what a pointer over it says
  void column(double from, double to, double height, const std::string& mark, const std::string& tip);
  void vertical_rule(double x);
  /// A dashed line between two points.
  void rule(Point from, Point to);
  void label(Point at, const std::string& text);

  std::string finish();

 private:
  double px(double x) const;
  double py(double y) const;

  Axis x_, y_;
  std::string svg_;
};

}  // namespace coala
