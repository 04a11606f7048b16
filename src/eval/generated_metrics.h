#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/metric.h"

namespace coala {

/// A reply for people to read.
struct ShownReply {
  std::string id;
  std::string text;
  double judge = 0;

  static constexpr MetricTable kTable{"Shown reply", "A reply for people to read."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "id", .about = "id of the prompt's record"}, self.id);
    add(Metric{.key = "text", .about = "the reply"}, self.text);
    add(Metric{.key = "judge", .about = "its score by the judge", .unit = "marks"}, self.judge);
  }
};

/// Replies beside the unguided ones.
struct WinMetrics {
  Estimate rate;
  double ties = 0;
  Estimate length_controlled;
  double perplexity_ratio = 1;

  static constexpr MetricTable kTable{"Wins", "Guided replies beside the unguided ones."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "win_rate",
               .about = "how often the judge prefers them, ties half; what is outside of the model loses",
               .unit = "share"},
        self.rate);
    add(Metric{.key = "ties", .about = "prompts without a winner", .unit = "share"}, self.ties);
    add(Metric{.key = "length_controlled_win_rate",
               .about = "what the rate would be at equal lengths (math.md)",
               .unit = "share"},
        self.length_controlled);
    add(Metric{.key = "perplexity_ratio", .about = "perplexity over that of the unguided replies"},
        self.perplexity_ratio);
  }
};

/// Replies to all prompts that were written in one way.
struct WrittenMetrics {
  double judge_mean = 0;
  double perplexity = 0;
  double divergence = 0;
  double outside = 0;
  double length_mean = 0;
  double distinct_1 = 0;
  double distinct_2 = 0;
  double repetition = 0;
  Interval judge_mean_ci95 = kNoInterval;
  std::vector<ShownReply> shown;
  std::optional<WinMetrics> wins;

  static constexpr MetricTable kTable{"Written replies", "Replies to all prompts that were written in one way."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "judge_mean", .about = "mean score by the judge", .unit = "marks"}, self.judge_mean);
    add(Metric{.key = "perplexity", .about = "of the replies under the unguided model"}, self.perplexity);
    add(Metric{.key = "divergence", .about = "mean divergence from the unguided model", .unit = "nats per token"},
        self.divergence);
    add(Metric{.key = "outside", .about = "replies beyond what the model can write (guidance.md)", .unit = "share"},
        self.outside);
    add(Metric{.key = "length_mean", .about = "mean length", .unit = "characters"}, self.length_mean);
    add(Metric{.key = "distinct_1", .about = "different tokens among all", .unit = "share"}, self.distinct_1);
    add(Metric{.key = "distinct_2", .about = "different pairs of tokens among all", .unit = "share"}, self.distinct_2);
    add(
        Metric{
            .key = "repetition", .about = "runs of four tokens that stood in the same reply before", .unit = "share"},
        self.repetition);
    add(Metric{.key = "judge_mean_ci95",
               .about = "95 % interval of `judge_mean` over prompts",
               .unit = "marks",
               .when = "of two prompts and more"},
        self.judge_mean_ci95);
    add(Metric{.key = "shown", .about = "replies to the first prompts"}, self.shown);
    add(MetricPart{"of guided replies"}, self.wins);
  }
};

/// A way of guiding at one strength.
struct GuidedRun {
  std::string guidance;
  std::optional<double> scale;
  WrittenMetrics written;

  static constexpr MetricTable kTable{"Guided replies",
                                      "Replies that were written with a way of guiding at one strength."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "guidance", .about = "the way of guiding"}, self.guidance);
    add(Metric{.key = "scale", .about = "its strength", .when = "the way has one"}, self.scale);
    add(MetricPart{}, self.written);
  }
};

/// Replies that were written with and without guidance, and compared by a judge.
struct GeneratedMetrics {
  std::string judge;
  std::string head;
  std::uint64_t prompts = 0;
  WrittenMetrics unguided;
  std::vector<GuidedRun> runs;
  std::uint64_t peak_rss_bytes = 0;

  static constexpr MetricTable kTable{"Generated replies", "What `coala eval --generate --json` prints."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "judge", .about = "who compared the replies"}, self.judge);
    add(Metric{.key = "head", .about = "file of the guiding head"}, self.head);
    add(Metric{.key = "prompts", .about = "prompts that were answered", .unit = "prompts"}, self.prompts);
    add(Metric{.key = "unguided", .about = "replies of the model as it is"}, self.unguided);
    add(Metric{.key = "runs", .about = "each way of guiding at each strength"}, self.runs);
    add(Metric{.key = "peak_rss_bytes", .about = "peak memory of the process", .unit = "bytes"}, self.peak_rss_bytes);
  }
};

}  // namespace coala
