#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "align/guidance_trial.h"
#include "core/parallel.h"
#include "extract/extract_file.h"
#include "head/fit.h"
#include "train/run_metrics.h"

namespace coala {

struct AlignOptions {
  ModelFile model{std::filesystem::path()};
  DataFiles data;
  std::vector<std::filesystem::path> eval_data;  ///< none: a share of the prompts of `data` is held out
  std::filesystem::path out;                     ///< folder
  double eval_fraction = 0.2;
  FeatureSettings features;
  bool skip_bad = false;                     ///< see ExtractOptions
  std::size_t token_rank = 32;               ///< of the token head; 0: none. A model that cannot have one goes without
  double guidance_budget = kGuidanceBudget;  ///< how far the token head may move the model, see try_guidance()
  ReplyMarks judge;                          ///< of the replies of try_guidance(); or none
  std::string wish;                          ///< that is tried as a system prompt, see there; "": none
  FitSettings fit;
  Backend* backend = nullptr;  ///< of the gated program, see fit_head()
  int seeds = 1;               ///< training runs, see train_over_seeds()
  std::string command;         ///< what reproduces the run, for the report
  /// Commands that use the head, for the report: one that guides, or not.
  std::function<std::vector<std::string>(bool guides)> next;
};

struct AlignResult {
  RunMetrics metrics;       ///< those of OUT/metrics.json
  bool up_to_date = false;  ///< nothing had changed since the last run
};

/// The main job: features of the data (OUT/features/), a head trained and judged on them (OUT/head.safetensors,
/// OUT/report.html), and the numbers (OUT/metrics.json, written last). A stage whose inputs have not changed is
/// skipped; a run that was stopped resumes.
/// @throws what its stages throw
AlignResult align(const AlignOptions& options, ThreadPool& pool);

}  // namespace coala
