#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/metric.h"
#include "head/fit.h"

namespace coala {

// How a fit came about.

/// A candidate of the selection.
struct CandidateMetrics {
  ModelClass model = ModelClass::Gated;
  double penalty = 0;
  double penalty_ratio = 0;
  double linear_weight = 1;
  double held_out_loss = 0;
  double held_out_error = 0;
  double held_out_accuracy = 0;
  int active_groups = 0;
  int gate_refinements = 0;
  bool chosen = false;

  static constexpr MetricTable kTable{"Candidate", "A program of the selection, judged on the folds."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "model", .about = "linear or gated program"}, self.model);
    add(Metric{.key = "penalty", .about = "lambda of the ridge, or beta of the group norms, for all training rows"},
        self.penalty);
    add(Metric{.key = "penalty_ratio", .about = "lambda over the sum of weights, or beta over the largest useful one"},
        self.penalty_ratio);
    add(Metric{.key = "linear_weight", .about = "factor of the linear group's penalty in the gated program"},
        self.linear_weight);
    add(Metric{.key = "held_out_loss", .about = "mean loss over the rows of the folds", .unit = "nats"},
        self.held_out_loss);
    add(Metric{.key = "held_out_error", .about = "its standard error, from the means of the folds", .unit = "nats"},
        self.held_out_error);
    add(Metric{.key = "held_out_accuracy", .about = "share of those rows that is right", .unit = "share"},
        self.held_out_accuracy);
    add(Metric{.key = "active_groups", .about = "groups that are not zero, mean over the folds"}, self.active_groups);
    add(Metric{.key = "gate_refinements", .about = "times that the gates were turned towards the weights"},
        self.gate_refinements);
    add(Metric{.key = "chosen", .about = "it is the one that was taken"}, self.chosen);
  }
};

/// Phase I.
struct SolverMetrics {
  ModelClass model_class = ModelClass::Gated;
  Loss loss = Loss::Logistic;
  ModelClass selected = ModelClass::Gated;
  std::optional<std::string> device;
  SolveStatus status = SolveStatus::Solved;
  bool selection_cut_short = false;
  double objective = 0;
  std::optional<double> dual_objective;
  std::optional<double> relative_gap;
  std::int64_t admm_iterations = 0;
  std::int64_t iterations = 0;
  std::int64_t cg_iterations = 0;
  double seconds = 0;
  double selection_seconds = 0;
  std::uint64_t passes_over_x = 0;
  std::uint64_t bytes_of_x = 0;
  std::uint64_t neurons = 0;
  double beta = 0;
  int gate_refinements = 0;
  double linear_weight = 1;
  LengthControl length_control = LengthControl::None;
  std::optional<double> length_slope;
  std::vector<CandidateMetrics> path;

  static constexpr MetricTable kTable{"Solver", "Phase I: its program, its selection and its certificate."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kCertified = "all classes but cronos, which has no certificate";
    add(Metric{.key = "model_class", .about = "program that was asked for"}, self.model_class);
    add(Metric{.key = "loss", .about = "its loss"}, self.loss);
    add(Metric{.key = "selected", .about = "program that the selection took"}, self.selected);
    add(Metric{.key = "device", .about = "device that the gated program ran on", .when = "a device other than the CPU"},
        self.device);
    add(Metric{.key = "status", .about = "how the final fit ended"}, self.status);
    add(Metric{.key = "selection_cut_short", .about = "the time limit left penalties out"}, self.selection_cut_short);
    add(Metric{.key = "objective", .about = "of the program, at the head that was returned"}, self.objective);
    add(Metric{.key = "dual_objective", .about = "lower bound of the best objective", .when = kCertified},
        self.dual_objective);
    add(Metric{.key = "relative_gap",
               .about = "share of the objective by which it is above the bound at most",
               .unit = "share",
               .when = kCertified},
        self.relative_gap);
    add(Metric{.key = "admm_iterations", .about = "iterations of ADMM; 0 where it is not used"}, self.admm_iterations);
    add(Metric{.key = "iterations", .about = "outer iterations of the final fit"}, self.iterations);
    add(Metric{.key = "cg_iterations", .about = "its inner iterations of conjugate gradients"}, self.cg_iterations);
    add(Metric{.key = "seconds", .about = "wall-clock time with the selection", .unit = "s"}, self.seconds);
    add(Metric{.key = "selection_seconds", .about = "wall-clock time of the selection", .unit = "s"},
        self.selection_seconds);
    add(Metric{.key = "passes_over_x", .about = "times that all features were gone over, with the selection"},
        self.passes_over_x);
    add(Metric{.key = "bytes_of_x", .about = "features as the solver holds them", .unit = "bytes"}, self.bytes_of_x);
    add(Metric{.key = "neurons", .about = "neurons of the head"}, self.neurons);
    add(Metric{.key = "beta", .about = "penalty of the final fit"}, self.beta);
    add(Metric{.key = "gate_refinements", .about = "times that its gates were turned towards the weights"},
        self.gate_refinements);
    add(Metric{.key = "linear_weight", .about = "factor of the linear group's penalty"}, self.linear_weight);
    add(Metric{.key = "length_control", .about = "what was done about lengths that predict the preferences"},
        self.length_control);
    add(Metric{.key = "length_slope",
               .about = "slope of the length covariate",
               .unit = "log odds",
               .when = "`length_control` is covariate"},
        self.length_slope);
    add(Metric{.key = "path", .about = "every candidate, linear ones first; none for classes without a selection"},
        self.path);
  }
};

/// Loss and margin along Phase II. All are [points].
struct CurveMetrics {
  std::vector<std::uint64_t> iteration;
  std::vector<double> loss;
  std::vector<double> margin;

  static constexpr MetricTable kTable{
      "Curve", "Phase II by iteration: all of a short curve, a hundred points of a long one with both ends."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "iteration", .about = "iterations of the points"}, self.iteration);
    add(Metric{.key = "loss", .about = "mean loss after each", .unit = "nats"}, self.loss);
    add(Metric{.key = "margin", .about = "mean margin after each", .unit = "log odds"}, self.margin);
  }
};

struct PhaseTwoMetrics {
  PhaseTwoObjective objective_name = PhaseTwoObjective::Preference;
  PhaseTwoSolver solver = PhaseTwoSolver::Newton;
  SolveStatus status = SolveStatus::Solved;
  int iterations = 0;
  double objective_before = 0;
  double objective = 0;
  double gradient_norm = 0;
  double seconds = 0;
  CurveMetrics curve;

  static constexpr MetricTable kTable{"Phase II", "How the second layer was fitted."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "objective_name", .about = "its objective"}, self.objective_name);
    add(Metric{.key = "solver", .about = "its method"}, self.solver);
    add(Metric{.key = "status", .about = "how it ended"}, self.status);
    add(Metric{.key = "iterations", .about = "steps, or epochs"}, self.iterations);
    add(Metric{.key = "objective_before", .about = "mean loss with the second layer of Phase I", .unit = "nats"},
        self.objective_before);
    add(Metric{.key = "objective", .about = "mean loss with the new one", .unit = "nats"}, self.objective);
    add(Metric{.key = "gradient_norm", .about = "of mean loss and ridge, at the result"}, self.gradient_norm);
    add(Metric{.key = "seconds", .about = "wall-clock time", .unit = "s"}, self.seconds);
    add(Metric{.key = "curve", .about = "loss and margin by iteration"}, self.curve);
  }
};

struct ReluFormMetrics {
  std::uint64_t neurons = 0;
  double gated_norm = 0;
  double relu_norm = 0;
  double largest_score = 0;
  double largest_difference = 0;
  double seconds = 0;

  static constexpr MetricTable kTable{"ReLU form", "A gated head that was turned into a ReLU network."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "neurons", .about = "neurons of the ReLU network"}, self.neurons);
    add(Metric{.key = "gated_norm", .about = "sum of the neurons' norms of the gated network"}, self.gated_norm);
    add(Metric{.key = "relu_norm", .about = "the same of the ReLU network"}, self.relu_norm);
    add(Metric{.key = "largest_score",
               .about = "largest absolute score of a training response by the gated network",
               .unit = "log odds"},
        self.largest_score);
    add(Metric{.key = "largest_difference",
               .about = "largest difference of both scores of a training response",
               .unit = "log odds"},
        self.largest_difference);
    add(Metric{.key = "seconds", .about = "wall-clock time", .unit = "s"}, self.seconds);
  }
};

SolverMetrics solver_metrics(const FitResult& fit);
PhaseTwoMetrics phase_two_metrics(const FitResult& fit);
/// @param fit  whose head was turned into a ReLU network
ReluFormMetrics relu_form_metrics(const FitResult& fit);

}  // namespace coala
