#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/metric.h"
#include "data/reading_metrics.h"
#include "eval/evaluation_metrics.h"
#include "features/extraction_metrics.h"
#include "head/fit.h"
#include "train/fit_metrics.h"
#include "train/guidance_metrics.h"
#include "train/inputs.h"
#include "train/seed_metrics.h"
#include "train/token_evaluation.h"

namespace coala {

/// Operations, counted from the sizes of what was computed.
struct FlopMetrics {
  double phase_one = 0;
  double phase_two = 0;
  double token_head = 0;
  double total = 0;
  std::optional<double> extraction;
  std::optional<double> paper_formula;

  static constexpr MetricTable kTable{"Operations",
                                      "Floating-point operations, counted from the sizes of what was computed."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kUnit = "FLOP";
    add(Metric{.key = "phase1", .about = "Phase I with its selection", .unit = kUnit}, self.phase_one);
    add(Metric{.key = "phase2", .about = "Phase II", .unit = kUnit}, self.phase_two);
    add(Metric{.key = "token_head", .about = "token head with its selection; 0 without one", .unit = kUnit},
        self.token_head);
    add(Metric{.key = "total", .about = "all of these, with the extraction where there is one", .unit = kUnit},
        self.total);
    add(Metric{.key = "extraction", .about = "extraction of all features", .unit = kUnit, .when = "of `align`"},
        self.extraction);
    add(Metric{.key = "paper_formula",
               .about = "seconds of training times 231 TFLOP/s, as arXiv 2605.23244 counts",
               .unit = kUnit,
               .when = "of `align`"},
        self.paper_formula);
  }
};

/// What was read of the files of a run.
struct RunReading {
  ReadingMetrics train;
  std::optional<ReadingMetrics> eval;

  static constexpr MetricTable kTable{"Files", "What was read of the files of a run."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "train", .about = "training files"}, self.train);
    add(Metric{.key = "eval", .about = "evaluation files", .when = "there are some (`--eval-data`)"}, self.eval);
  }
};

/// What tells a run of `coala align` from others.
struct RunIdentity {
  std::string key;
  std::string head_hash;
  std::string command;

  static constexpr MetricTable kTable{"Run", "What tells a run of `coala align` from others."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "key", .about = "hash of all inputs and settings"}, self.key);
    add(Metric{.key = "head_hash", .about = "hash of the head's file"}, self.head_hash);
    add(Metric{.key = "command", .about = "what reproduces the run"}, self.command);
  }
};

/// The metrics of a training run: metrics.json.
struct RunMetrics {
  EvaluationMetrics evaluation;
  TrainedRowMetrics trained;
  InputMetrics inputs;
  std::optional<TokenHeadMetrics> token_head;
  std::uint64_t train_rows = 0;
  std::uint64_t train_prompts = 0;
  std::uint64_t dimension = 0;
  SolverMetrics solver;
  PhaseTwoMetrics phase_two;
  std::optional<ReluFormMetrics> relu_form;
  FlopMetrics flops;
  double seconds = 0;
  std::uint64_t peak_rss_bytes = 0;
  FitSettings settings;
  std::uint64_t seed = 0;
  std::string version;
  std::optional<SeedMetrics> seeds;
  std::optional<GuidanceMetrics> guidance;
  std::optional<RunReading> reading;
  std::optional<ExtractionMetrics> extraction;
  std::optional<RunIdentity> run;

  static constexpr MetricTable kTable{"A training run",
                                      "`metrics.json` of `coala align`, and what `coala train --json` prints."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kAlign = "of `align`";
    add(MetricPart{}, self.evaluation);
    add(MetricPart{}, self.trained);
    add(MetricPart{}, self.inputs);
    add(Metric{.key = "token_head", .about = "the token head's fit and accuracy", .when = "there is a token head"},
        self.token_head);
    add(Metric{.key = "train_rows", .about = "rows that the head was trained on", .unit = "rows"}, self.train_rows);
    add(Metric{.key = "train_prompts", .about = "their different prompts", .unit = "prompts"}, self.train_prompts);
    add(Metric{.key = "dimension", .about = "numbers per response"}, self.dimension);
    add(Metric{.key = "solver", .about = "Phase I"}, self.solver);
    add(Metric{.key = "phase2", .about = "Phase II"}, self.phase_two);
    add(Metric{.key = "relu_form", .about = "the head as a ReLU network", .when = "`--as-relu`"}, self.relu_form);
    add(Metric{.key = "flops", .about = "operations of each stage"}, self.flops);
    add(Metric{.key = "seconds", .about = "wall-clock time of the run", .unit = "s"}, self.seconds);
    add(Metric{.key = "peak_rss_bytes", .about = "peak memory of the process", .unit = "bytes"}, self.peak_rss_bytes);
    add(Metric{.key = "settings", .about = "every setting of the fit by its name (cli.md)"}, self.settings);
    add(Metric{.key = "seed", .about = "seed of the run"}, self.seed);
    add(Metric{.key = "version", .about = "version of coala"}, self.version);
    add(Metric{.key = "seeds", .about = "runs with other seeds", .when = "`--seeds` above 1"}, self.seeds);
    add(Metric{.key = "guidance",
               .about = "how strongly the token head may guide",
               .when = "of `align` with a token head, where some held-out prompt can be answered"},
        self.guidance);
    add(Metric{.key = "reading", .about = "what was read of the data, and what was not", .when = kAlign}, self.reading);
    add(Metric{.key = "extract", .about = "what the extraction evaluated and cut", .when = kAlign}, self.extraction);
    add(Metric{.key = "run", .about = "by what the next run knows whether anything has changed", .when = kAlign},
        self.run);
  }
};

}  // namespace coala
