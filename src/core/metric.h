#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// What there is to say of a metric. A struct of metrics lists them once, in a function beside its members, in the
/// order of the file, and says what it is itself:
///
///     static constexpr MetricTable kTable{"Phase II", "How the second layer was fitted."};
///     template <class Self, class List>
///     static void list(Self& self, const List& add) {
///       add(Metric{.key = "seconds", .about = "wall-clock time", .unit = "s"}, self.seconds);
///       ..
///
/// JSON both ways (core/metric_json.h) and the page that describes it (docs/metrics.md) are made of that list;
/// tests/metrics_test.cpp says whether every member is in it. A member may be a bool, a number, a text, an enumeration
/// with names (core/setting.h), an Interval, an Estimate, NamedCounts, a struct of settings or of metrics, a vector of
/// these, or one of all that which may be absent (std::optional).
struct Metric {
  std::string_view key;        ///< an Estimate's interval has this one with "_ci95" behind it
  std::string_view about;      ///< for people, in one line
  std::string_view unit = {};  ///< "": it has none
  std::string_view when = {};  ///< when it is there; "": always
};

/// In a list: a struct of metrics that stand among the others, and not in an object of their own.
struct MetricPart {
  std::string_view when = {};  ///< when they are there; "": always
};

/// What a struct of metrics is.
struct MetricTable {
  std::string_view name;
  std::string_view about;  ///< for people: sentences
};

/// Numbers of things that have names, in an order of their own.
using NamedCounts = std::vector<std::pair<std::string, std::uint64_t>>;

template <class T>
concept IsMetrics = requires {
  std::remove_cvref_t<T>::kTable;
};

}  // namespace coala
