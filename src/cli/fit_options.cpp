#include "cli/fit_options.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "cli/choice.h"

namespace coala {
void add_fit_options(CLI::App& command, FitSettings& settings) {
  add_choice(command, "--model-class", settings.model_class, "Phase I program",
             {{"gated", ModelClass::Gated},
              {"linear", ModelClass::Linear},
              {"cronos", ModelClass::Cronos},
              {"relu", ModelClass::Relu}});
  std::map<std::string, Loss> losses;
  for (const Loss loss : kLosses) losses.emplace(loss_name(loss), loss);
  std::vector<std::string> names;
  for (const auto& [name, loss] : losses) names.push_back(name);
  command
      .add_option_function<std::string>(
          "--loss", [&settings, losses](const std::string& name) { settings.loss = losses.at(name); },
          fmt::format("Phase I loss ({})", fmt::join(names, ", ")))
      ->check(CLI::IsMember(names))
      ->default_str("bt for pairs, logistic for labelled rows");
  command.add_option("--gates", settings.gates, "gates of the gated class: drawn, then refined")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  add_choice(command, "--gates-from", settings.gates_from, "where the first gates of the gated class are drawn",
             {{"gaussian", GateSource::Gaussian},
              {"class-means", GateSource::ClassMeans},
              {"pairs", GateSource::Pairs},
              {"principal", GateSource::Principal}});
  command.add_option("--path-length", settings.path_length, "penalties on the regularisation path")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_option("--selection-folds", settings.folds, "folds by prompt for selection and Phase II")
      ->check(CLI::Range(2, 100))
      ->capture_default_str();
  add_choice(command, "--selection-rule", settings.rule, "which candidate of a path is taken",
             {{"lowest-loss", SelectionRule::LowestLoss}, {"one-standard-error", SelectionRule::OneStandardError}});
  command.add_option("--tolerance", settings.tolerance, "relative duality gap of the final fit")
      ->check(CLI::Range(1e-7, 1.0))
      ->capture_default_str();
  command
      .add_option(
          "--time-limit", settings.time_limit_s,
          "seconds of the fit, after which it takes the best it has; 0 for none. The token head, and each fold of an "
          "evaluation by cross-validation, have their own")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--cronos-rho", settings.cronos.rho, "ADMM penalty of the cronos class")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--cronos-beta", settings.cronos.beta, "group-norm weight of the cronos class")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--cronos-gates", settings.cronos_gates, "gates of the cronos and relu classes")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command
      .add_option("--relu-beta", settings.relu_beta_ratio, "penalty of the relu class as a share of the largest one")
      ->check(CLI::Range(1e-4, 1.0))
      ->capture_default_str();
  command.add_option("--cronos-iterations", settings.cronos.admm_iterations, "ADMM iterations of the cronos class")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  add_choice(
      command, "--length-control", settings.length_control,
      "what is done about lengths that predict the preferences: the length difference as a covariate in training "
      "that is dropped when scoring, or length-balanced weights",
      {{"none", LengthControl::None}, {"covariate", LengthControl::Covariate}, {"weights", LengthControl::Weights}});
  command.add_flag("--as-relu", settings.as_relu,
                   "write the gated head as a ReLU network that gives the training rows the same scores (cone "
                   "decomposition); elsewhere the scores differ");
  add_choice(command, "--phase2-objective", settings.phase_two.objective, "Phase II objective",
             {{"preference", PhaseTwoObjective::Preference},
              {"pairwise", PhaseTwoObjective::Pairwise},
              {"pointwise", PhaseTwoObjective::Pointwise}});
  add_choice(command, "--phase2-solver", settings.phase_two.solver, "Phase II method",
             {{"newton", PhaseTwoSolver::Newton},
              {"accelerated", PhaseTwoSolver::Accelerated},
              {"adamw", PhaseTwoSolver::AdamW}});
  command.add_option("--phase2-beta", settings.phase_two.beta_r, "slope of the published Phase II objectives")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--phase2-gamma", settings.phase_two.gamma, "offset of the published Phase II objectives")
      ->capture_default_str();
}

void add_seeds_option(CLI::App& command, int& seeds) {
  command
      .add_option("--seeds", seeds,
                  "train as often, with --seed and the seeds after it, and report mean and standard deviation of the "
                  "accuracies; the head of the first is written. Costs as many times the training")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace coala
