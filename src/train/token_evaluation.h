#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/metric.h"
#include "head/token_fit.h"

namespace coala {

/// How a program of the token head was solved.
struct TokenProgramMetrics {
  SolveStatus status = SolveStatus::Solved;
  double relative_gap = 0;
  double penalty = 0;
  double penalty_ratio = 0;
  double held_out_loss = 0;
  double seconds = 0;

  static constexpr MetricTable kTable{"Token program", "How a program of the token head was solved."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "status", .about = "how its final fit ended"}, self.status);
    add(Metric{.key = "relative_gap",
               .about = "share of the objective by which it is above its lower bound at most",
               .unit = "share"},
        self.relative_gap);
    add(Metric{.key = "penalty", .about = "penalty that was selected"}, self.penalty);
    add(Metric{.key = "penalty_ratio", .about = "the same over the sum of the rows' weights"}, self.penalty_ratio);
    add(Metric{.key = "held_out_loss", .about = "mean loss over the rows of the folds", .unit = "nats"},
        self.held_out_loss);
    add(Metric{.key = "seconds", .about = "wall-clock time of its final fit", .unit = "s"}, self.seconds);
  }
};

/// The baseline of a token head: a fixed bias for each token.
struct ContextFreeMetrics {
  TokenProgramMetrics program;
  Estimate accuracy;

  static constexpr MetricTable kTable{"Context-free", "The token head's baseline: a fixed bias for each token."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(MetricPart{}, self.program);
    add(Metric{.key = "accuracy",
               .about = "how often the sum of its token scores is right; of the folds, and without interval, where no "
                        "rows with token sums are held out",
               .unit = "share"},
        self.accuracy);
  }
};

/// What is known of a token head before it guides anything.
struct TokenHeadMetrics {
  TokenProgramMetrics program;
  std::uint64_t rank = 0;
  double reliability = 0;
  bool bias_does = false;
  double bias_length = 1;
  std::string share_of_tokens;
  ContextFreeMetrics context_free;
  Estimate accuracy;
  double selection_seconds = 0;

  static constexpr MetricTable kTable{"Token head", "What is known of the token head before it guides anything."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(MetricPart{}, self.program);
    add(Metric{.key = "rank", .about = "rank of its matrix"}, self.rank);
    add(Metric{.key = "reliability",
               .about = "from 0 (a coin) to 1, by its accuracy on held-out prompts and their number"},
        self.reliability);
    add(Metric{.key = "bias_does", .about = "its baseline tells held-out pairs apart as well: context adds nothing"},
        self.bias_does);
    add(Metric{.key = "bias_length", .about = "length of the sums of tokens alone over that of the others"},
        self.bias_length);
    add(Metric{.key = "share_of_tokens", .about = "share of the training responses' tokens that it is fitted to"},
        self.share_of_tokens);
    add(Metric{.key = "context_free", .about = "its baseline"}, self.context_free);
    add(Metric{.key = "accuracy",
               .about = "how often the sum of its token scores is right; of the folds, and without interval, where no "
                        "rows with token sums are held out",
               .unit = "share"},
        self.accuracy);
    add(Metric{.key = "selection_seconds", .about = "wall-clock time of both selections", .unit = "s"},
        self.selection_seconds);
  }
};

/// Its fit, and how often it (and the head without context, its baseline) puts the better response of held-out pairs
/// first, or the right label on held-out responses. Without the time of the selection, which the caller knows.
/// @param held_out  null, or a set without token sums in the same coordinates: the accuracies are those of the
///   selection's folds, and have no interval
TokenHeadMetrics token_metrics(const TokenFit& fit, const FeatureSet& train, const FeatureSet* held_out);

}  // namespace coala
