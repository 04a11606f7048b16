#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/evaluate.h"
#include "coala/extract.h"
#include "coala/fit.h"
#include "coala/model.h"

namespace coala::v1 {

struct AlignSettings {
  ModelSource model = {};
  std::vector<std::string> data = {};       ///< files, patterns or folders of preferences (docs/data-shapes.md)
  std::vector<std::string> eval_data = {};  ///< to evaluate on; none: a share of the prompts of `data` is held out
  std::filesystem::path out = {};           ///< folder for head, report, metrics and features
  double eval_fraction = 0.2;               ///< that share, in (0, 1)
  FeatureSettings features = {};
  std::size_t token_rank = 32;   ///< of the token head; 0: none. A model that cannot have one goes without
  double guidance_budget = 0.1;  ///< how far the token head may move the model: docs/guidance.md, The scale
  FitSettings fit = {};
};

struct Alignment {
  std::filesystem::path head = {};  ///< files in the folder
  std::filesystem::path report = {};
  std::filesystem::path metrics = {};
  std::string verdict = {};  ///< did it work? a sentence, with the numbers behind it
  std::vector<std::string> remarks = {};
  Estimate accuracy = {};   ///< of the reward head on held-out rows
  bool guides = false;      ///< whether there is a token head
  bool up_to_date = false;  ///< nothing had changed since an earlier call
  std::string json = {};    ///< all metrics, the content of `metrics`
};

/// The whole job: features of the data, a head trained and judged on them, a token head with a scale that was tried,
/// report and metrics. A call that was stopped is gone on with by the next one.
/// @throws Error as the parts do
COALA_API Alignment align(const AlignSettings& settings, const Context& context = {});

}  // namespace coala::v1
