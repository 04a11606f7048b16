#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/metric_json.h"
#include "eval/answer_metrics.h"
#include "eval/generated_metrics.h"
#include "eval/head_comparison.h"
#include "members.h"
#include "train/run_metrics.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// Gives every member a value of its own that is none of its standard ones.
class Filler {
 public:
  template <class T>
  void fill(T& value) {
    if constexpr (IsMetrics<T>) {
      T::list(value, [this](const auto&, auto& member) { fill(member); });
    } else if constexpr (IsSettings<T>) {
      for_each_setting(value, [this](const Setting&, auto& member) { fill(member); });
    } else if constexpr (std::is_enum_v<T>) {
      const auto& names = names_of(T{});
      value = names[0].value == value ? names[1].value : names[0].value;
    } else if constexpr (std::is_same_v<T, bool>) {
      value = !value;
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = "text " + std::to_string(next());
    } else if constexpr (std::is_floating_point_v<T>) {
      value = next() + 0.25;
    } else {
      value = static_cast<T>(next());
    }
  }
  void fill(Interval& value) { value = {next() + 0.5, next() + 0.5}; }
  void fill(Estimate& value) {
    fill(value.value);
    fill(value.ci95);
  }
  void fill(NamedCounts& counts) { counts = {{"second", 1000 + next()}, {"first", 1000 + next()}}; }
  template <class T>
  void fill(std::optional<T>& value) {
    fill(value.emplace());
  }
  template <class T>
  void fill(std::vector<T>& values) {
    values.resize(2);
    for (T& value : values) fill(value);
  }

 private:
  unsigned next() { return ++last_; }

  unsigned last_ = 0;
};

template <class Metrics>
Metrics filled() {
  Metrics metrics;
  Filler().fill(metrics);
  return metrics;
}

/// Calls visit(metric, value) for each metric, those of parts among them.
template <class Metrics, class Visit>
void for_each_metric(const Metrics& metrics, const Visit& visit) {
  Metrics::list(metrics, [&visit]<class Entry, class T>(const Entry& entry, const T& value) {
    if constexpr (std::is_same_v<Entry, Metric>) {
      visit(entry, value);
    } else if constexpr (IsMetrics<T>) {
      for_each_metric(value, visit);
    } else {
      for_each_metric(typename T::value_type(), visit);
    }
  });
}

/// The message of an error of bad input; "": there is none.
template <class Metrics>
std::string refusal(const Json& json) {
  try {
    read_metrics<Metrics>(json, "m.json");
  } catch (const Error& error) {
    return error.code() == ErrorCode::BadInput ? error.what() : "another error";
  }
  return "";
}

template <class Metrics>
struct MetricsList : ::testing::Test {};
using All = ::testing::Types<
    RunMetrics, EvaluationRun, HeadComparison, Disagreement, AnswerMetrics, ChoiceMetrics, AgreementMetrics,
    DisputedAnswers, EvaluationMetrics, PairMetrics, LabelledMetrics, CalibrationMetrics, ReliabilityBin,
    SubsetAccuracy, SubsetMetrics, LogisticMetrics, LengthMetrics, Leaks, TrainedRowMetrics, InputMetrics, DataMetrics,
    FingerprintMetrics, TokenHeadMetrics, TokenProgramMetrics, ContextFreeMetrics, SolverMetrics, CandidateMetrics,
    PhaseTwoMetrics, CurveMetrics, ReluFormMetrics, FlopMetrics, SeedMetrics, SpreadMetrics, GuidanceMetrics,
    ReplyMetrics, AheadMetrics, RunReading, ReadingMetrics, LeftOutPairs, RecordsWithout, ColumnMetrics,
    ExtractionMetrics, RunIdentity, GeneratedMetrics, WrittenMetrics, WinMetrics, ShownReply, GuidedRun>;
TYPED_TEST_SUITE(MetricsList, All);

TYPED_TEST(MetricsList, HasEveryMemberOnce) {
  std::set<const void*> addresses;
  std::size_t entries = 0;
  const TypeParam metrics;
  TypeParam::list(metrics, [&](const auto&, const auto& value) {
    addresses.insert(&value);
    ++entries;
  });
  EXPECT_EQ(entries, test::members<TypeParam>());
  EXPECT_EQ(addresses.size(), entries);
}

TYPED_TEST(MetricsList, SaysWhatTheyAre) {
  EXPECT_FALSE(TypeParam::kTable.name.empty());
  EXPECT_TRUE(TypeParam::kTable.about.ends_with('.')) << TypeParam::kTable.about;
  for_each_metric(TypeParam{}, [](const Metric& metric, const auto&) {
    EXPECT_FALSE(metric.about.empty()) << metric.key;
    EXPECT_FALSE(metric.about.ends_with('.')) << metric.about;
  });
}

/// Every metric stands under a key of its own, and comes back from there.
TYPED_TEST(MetricsList, GoesThroughJson) {
  const Json json = metrics_json(filled<TypeParam>());
  std::set<std::string> keys;
  for_each_metric(filled<TypeParam>(), [&]<class T>(const Metric& metric, const T&) {
    const std::string key(metric.key);
    EXPECT_TRUE(keys.insert(key).second) << key;
    if (std::is_same_v<T, Estimate> || std::is_same_v<T, std::optional<Estimate>>) keys.insert(key + "_ci95");
  });
  for (const std::string& key : keys) EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json.size(), keys.size());
  EXPECT_EQ(metrics_json(read_metrics<TypeParam>(json, "m.json")).dump(1), json.dump(1));
  // As a file has it.
  EXPECT_EQ(metrics_json(read_metrics<TypeParam>(Json::parse(json.dump()), "m.json")).dump(1), json.dump(1));
}

/// What is absent has no key, and stays absent.
TYPED_TEST(MetricsList, LeavesOutWhatIsAbsent) {
  const Json json = metrics_json(TypeParam{});
  const TypeParam standard;
  TypeParam::list(standard, [&json]<class Entry, class T>(const Entry& entry, const T&) {
    if constexpr (std::is_same_v<Entry, Metric>) {
      const bool may_be_absent = std::is_same_v<T, Interval> || requires(T value) {
        value.has_value();
      };
      EXPECT_NE(json.contains(std::string(entry.key)), may_be_absent) << entry.key;
    }
  });
  EXPECT_EQ(metrics_json(read_metrics<TypeParam>(json, "m.json")).dump(1), json.dump(1));
}

TYPED_TEST(MetricsList, RefusesAnotherTypeByItsKey) {
  const Json good = metrics_json(filled<TypeParam>());
  EXPECT_EQ(refusal<TypeParam>(good), "");
  for (const auto& [key, value] : good.items()) {
    for (const Json& bad :
         {Json(1.5), Json("text"), Json(true), Json::array({"text", 1.5}), Json{{"a", Json::array()}}}) {
      if (bad.type() == value.type()) continue;
      if (bad.is_object() && key == "settings") continue;
      Json json = good;
      json[key] = bad;
      const std::string message = refusal<TypeParam>(json);
      EXPECT_EQ(message.find("m.json: " + key), 0u) << key << " " << bad << ": " << message;
      EXPECT_NE(message.find("it must be"), std::string::npos) << message;
    }
  }
}

TEST(Metrics, OfAnOlderFileKeepStandardValues) {
  const Json old = Json::parse(R"({"eval_rewards/accuracies": 0.5, "eval_rows": 10, "no longer known": "text",
      "solver": {"status": "TimeLimit", "path": [{"penalty": 2}]},
      "settings": {"gates": 3, "phase2": {"gamma": 2}}})");
  const RunMetrics metrics = read_metrics<RunMetrics>(old, "m.json");
  ASSERT_TRUE(metrics.evaluation.pairs);
  EXPECT_EQ(metrics.evaluation.accuracy().value, 0.5);
  EXPECT_FALSE(metrics.evaluation.accuracy().ci95.is_known());
  EXPECT_FALSE(metrics.evaluation.labelled);
  EXPECT_FALSE(metrics.evaluation.logistic);
  EXPECT_EQ(metrics.evaluation.rows, 10u);
  EXPECT_EQ(metrics.solver.status, SolveStatus::TimeLimit);
  ASSERT_EQ(metrics.solver.path.size(), 1u);
  EXPECT_EQ(metrics.solver.path[0].penalty, 2);
  EXPECT_EQ(metrics.solver.path[0].linear_weight, 1);
  EXPECT_FALSE(metrics.guidance);
  EXPECT_EQ(metrics.settings.gates, 3);
  EXPECT_EQ(metrics.settings.phase_two.gamma, 2);
  EXPECT_EQ(metrics.settings.folds, FitSettings{}.folds);
}

TEST(Metrics, SayWhereAValueIsWrong) {
  const auto solver = [](const char* text) { return refusal<RunMetrics>({{"solver", Json::parse(text)}}); };
  EXPECT_EQ(solver(R"({"path": [{"penalty": 1}, {"penalty": "x"}]})"),
            "m.json: solver.path[1].penalty is the text 'x'; it must be a number");
  EXPECT_EQ(solver(R"({"status": "Done"})"),
            "m.json: solver.status is the text 'Done'; it must be one of Solved, IterationLimit, TimeLimit, "
            "Interrupted, Stalled");
  EXPECT_EQ(solver(R"({"neurons": -1})"),
            "m.json: solver.neurons is the number -1; it must be an integer from 0 to 18446744073709551615");
  EXPECT_EQ(solver(R"({"gate_refinements": 3000000000})"),
            "m.json: solver.gate_refinements is the number 3000000000; it must be an integer from -2147483648 to "
            "2147483647");
  EXPECT_EQ(refusal<RunMetrics>({{"auc", 0.5}, {"auc_ci95", {0.4}}}),
            "m.json: auc_ci95 is a list; it must be a list of two numbers");
  EXPECT_EQ(refusal<RunMetrics>({{"settings", {{"phase2", {{"gamma", "much"}}}}}}),
            "m.json: settings.phase2.gamma is the text 'much'; it must be a value of this setting");
  EXPECT_EQ(refusal<RunMetrics>(Json::array()), "m.json is a list; it must be an object");
}

/// JSON has no number that is none.
TEST(Metrics, HaveNullForWhatIsNoNumber) {
  ReplyMetrics metrics;
  metrics.judge_mean = std::nan("");
  const ReplyMetrics read = read_metrics<ReplyMetrics>(Json::parse(metrics_json(metrics).dump()), "m.json");
  ASSERT_TRUE(read.judge_mean);
  EXPECT_TRUE(std::isnan(*read.judge_mean));
}

}  // namespace
}  // namespace coala
