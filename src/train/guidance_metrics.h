#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/metric.h"
#include "core/setting.h"

namespace coala {

// How strongly a token head may guide, as align/guidance_trial.h finds out. The report tells it, which is below.

/// Replies that were written at one scale.
struct ReplyMetrics {
  double scale = 0;
  double divergence = 0;
  double entropy = 0;
  double repetition = 0;
  std::optional<double> judge_mean;

  static constexpr MetricTable kTable{"Replies", "Replies to held-out prompts that were written at one scale."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "scale", .about = "of the head as it was fitted; 0: unguided"}, self.scale);
    add(Metric{.key = "divergence", .about = "mean divergence from the model as it is", .unit = "nats per token"},
        self.divergence);
    add(Metric{.key = "entropy", .about = "mean entropy of the model as it is", .unit = "nats per token"},
        self.entropy);
    add(Metric{.key = "repetition",
               .about = "share of runs of four tokens that stood in the same reply before",
               .unit = "share"},
        self.repetition);
    add(Metric{.key = "judge_mean", .about = "mean mark by the judge", .unit = "marks", .when = "there is a judge"},
        self.judge_mean);
  }
};

/// Who says which of two replies is better.
enum class Comparer { Judge, RewardHead };
inline constexpr std::array kComparers{Named{"judge", Comparer::Judge}, Named{"reward head", Comparer::RewardHead}};
constexpr const auto& names_of(Comparer) {
  return kComparers;
}

/// How much better guided replies are than those with a system prompt.
struct AheadMetrics {
  Comparer by = Comparer::Judge;
  double mean = 0;
  Interval ci95 = kNoInterval;
  std::uint64_t prompts = 0;

  static constexpr MetricTable kTable{
      "Ahead", "How much better guided replies are than those with the wish as a system prompt."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "by", .about = "who compares them"}, self.by);
    add(Metric{.key = "mean", .about = "mean of the differences", .unit = "marks, or log odds of the reward head"},
        self.mean);
    add(Metric{.key = "ci95", .about = "Student's interval over the prompts", .unit = "as the mean"}, self.ci95);
    add(Metric{.key = "prompts", .about = "prompts whose replies were compared", .unit = "prompts"}, self.prompts);
  }
};

struct GuidanceMetrics {
  double budget = 0;
  double scale = 0;
  double divergence = 0;
  double repetition = 0;
  std::vector<std::string> raised;
  std::vector<std::string> lowered;
  ReplyMetrics unguided;
  std::optional<double> judge_mean;
  std::optional<ReplyMetrics> asked;
  std::optional<AheadMetrics> ahead_of_asked;
  std::vector<ReplyMetrics> tried;

  static constexpr MetricTable kTable{"Guidance",
                                      "How strongly the token head may guide, found out by writing replies."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "budget", .about = "how far the model may be moved from itself", .unit = "nats per token"},
        self.budget);
    add(Metric{.key = "scale",
               .about = "what was made scale 1 of the head in the file: this one of the head as it was fitted"},
        self.scale);
    add(Metric{.key = "divergence", .about = "mean divergence from the model at that scale", .unit = "nats per token"},
        self.divergence);
    add(Metric{.key = "repetition",
               .about = "share of runs of four tokens that stood in the same reply before",
               .unit = "share"},
        self.repetition);
    add(Metric{.key = "raised", .about = "words of the replies that the head raises, the most first"}, self.raised);
    add(Metric{.key = "lowered", .about = "words of the replies that it lowers, the most first"}, self.lowered);
    add(Metric{.key = "unguided", .about = "replies of the model as it is"}, self.unguided);
    add(Metric{.key = "judge_mean",
               .about = "mean mark of the guided replies by the judge",
               .unit = "marks",
               .when = "there is a judge"},
        self.judge_mean);
    add(Metric{.key = "asked", .about = "unguided replies with the wish as a system prompt", .when = "there is a wish"},
        self.asked);
    add(Metric{.key = "ahead_of_asked",
               .about = "guided replies beside those",
               .when = "there is a wish, and replies at the chosen scale can be compared with its own"},
        self.ahead_of_asked);
    add(Metric{.key = "tried", .about = "guided replies of each scale that was tried, in this order"}, self.tried);
  }
};

}  // namespace coala
