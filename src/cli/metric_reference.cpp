#include "cli/metric_reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "core/metric_json.h"
#include "core/utf8.h"
#include "eval/answer_metrics.h"
#include "eval/generated_metrics.h"
#include "eval/head_comparison.h"
#include "train/run_metrics.h"

namespace coala {
namespace {

/// A struct of metrics, and how they are kept.
template <class T>
struct Member {
  using Type = T;
  static constexpr bool is_list = false;
};
template <class T>
struct Member<std::optional<T>> : Member<T> {};
template <class T>
struct Member<std::vector<T>> {
  using Type = T;
  static constexpr bool is_list = true;
};
template <>
struct Member<NamedCounts> {
  using Type = NamedCounts;
  static constexpr bool is_list = false;
};

std::string link(const MetricTable& table) {
  std::string anchor = lower_case(table.name);
  std::ranges::replace(anchor, ' ', '-');
  return fmt::format("[{}](#{})", table.name, anchor);
}

/// What a value is, in a word, where it has no unit.
template <class T>
std::string kind_of() {
  if constexpr (IsMetrics<T>) {
    return link(T::kTable);
  } else if constexpr (IsSettings<T>) {
    return "object";
  } else if constexpr (std::is_enum_v<T>) {
    std::string names;
    for (const auto& choice : names_of(T{})) names += fmt::format("{}`{}`", names.empty() ? "" : ", ", choice.name);
    return names;
  } else if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "text";
  } else {
    return "number";
  }
}

template <class T>
std::string unit_of(const Metric& metric) {
  using Type = typename Member<T>::Type;
  const std::string unit = metric.unit.empty() ? kind_of<Type>() : std::string(metric.unit);
  if constexpr (std::is_same_v<Type, NamedCounts>) {
    return unit + " by name";
  } else if constexpr (std::is_same_v<Type, Interval>) {
    return unit + ", low and high";
  } else {
    return Member<T>::is_list ? "list of " + unit : unit;
  }
}

/// A table for each struct, those that it holds behind it.
class MetricPage {
 public:
  /// @param level  of the heading: "##"
  template <IsMetrics Metrics>
  void add(const char* level) {
    if (!done_.insert(Metrics::kTable.name).second) return;
    text_ += fmt::format("\n{} {}\n\n{}\n\n| key | unit | meaning | when |\n|---|---|---|---|\n", level,
                         Metrics::kTable.name, Metrics::kTable.about);
    const Metrics metrics;
    Metrics::list(metrics, [this]<class Entry, class T>(const Entry& entry, const T&) {
      if constexpr (std::is_same_v<Entry, MetricPart>) {
        row("those of " + link(Member<T>::Type::kTable), "", "", entry.when);
      } else {
        std::string keys = fmt::format("`{}`", entry.key);
        if constexpr (std::is_same_v<typename Member<T>::Type, Estimate>) keys += ", `_ci95`";
        row(keys, unit_of<T>(entry), entry.about, entry.when);
      }
    });
    Metrics::list(metrics, [this]<class T>(const auto&, const T&) {
      if constexpr (IsMetrics<typename Member<T>::Type>) add<typename Member<T>::Type>("###");
    });
  }

  std::string take() { return std::move(text_); }

 private:
  void row(const std::string& keys, const std::string& unit, std::string_view about, std::string_view when) {
    text_ += fmt::format("| {} | {} | {} | {} |\n", keys, unit, about, when);
  }

  std::string text_ =
      "# Metrics\n\n"
      "What `coala --metrics-markdown` prints: every key of `metrics.json`, and of what `coala train` and `coala eval` "
      "print with `--json`. "
      "What a run does not have is absent; a \"when\" says what that depends on. `_ci95` behind a key: the figure has "
      "a 95 % interval, which stands under its key with that ending as a list of its low and its high end, unless it "
      "is not known, as of a single prompt ([math.md](math.md)). Scores, and so margins, are log odds: the sigmoid of "
      "a margin is a probability.\n";
  std::set<std::string_view> done_;
};

}  // namespace

std::string markdown_metrics() {
  MetricPage page;
  page.add<RunMetrics>("##");
  page.add<EvaluationRun>("##");
  page.add<HeadComparison>("##");
  page.add<AnswerMetrics>("##");
  page.add<AgreementMetrics>("##");
  page.add<GeneratedMetrics>("##");
  return page.take();
}

}  // namespace coala
