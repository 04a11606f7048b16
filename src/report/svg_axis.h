#pragma once

#include <string>
#include <vector>

#include "report/plot.h"

namespace coala {

// What all figures of the report share. They are as wide in their own units; the page scales them.
inline constexpr double kSvgWidth = 360;
inline constexpr double kSvgRight = 14;  ///< room at the right

/// The opening tag with an accessible name.
std::string start_svg(const std::string& name, double height);

/// Share of the axis below a value, in [0, 1].
double axis_share(const Axis& axis, double value);

/// The smallest of 1, 2 or 5 times a power of ten that is not below `least` > 0.
double round_step(double least);

/// Round values within an axis, about `count` of them.
std::vector<double> ticks(const Axis& axis, int count);
std::string tick_text(double value);

/// A horizontal axis at the bottom with its grid.
std::string horizontal_axis(const Axis& axis, double left, double top, double bottom);

}  // namespace coala
