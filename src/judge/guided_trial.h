#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/prompt_reader.h"
#include "decode/guidance.h"
#include "eval/generated_metrics.h"
#include "extract/feature_settings.h"
#include "judge/judge.h"

namespace coala {

/// Prompts that are answered, and their tokens: one for each.
struct TrialPrompts {
  std::vector<PromptRecord> records;
  std::vector<EncodedPrompt> encoded;
};

/// The ways in which they are answered.
struct TrialSettings {
  GenerationSettings plain;       ///< without guidance, and of all ways
  std::vector<Guidance> ways;     ///< of guiding
  std::vector<double> scales;     ///< each is tried of the ways that take one
  std::optional<int> candidates;  ///< as GuidanceOptions
  BranchSettings branch;          ///< the same
  FeatureSettings features;       ///< that the head was trained with
  int threads = 0;                ///< 0: all cores this process may use
};

struct GuidedTrial {
  GeneratedMetrics metrics;
  std::string lines;  ///< every reply with what the judge says, a JSON line each
};

/// Writes replies to the prompts as the model is and guided in each way, with the same seed, and lets a judge that is
/// not the guiding head compare them with the unguided ones. A reply beyond what the model can write loses against one
/// that is not, whatever the judge says.
/// @throws Error{BadUsage} when a way needs a token head and there is none; what the judge throws
GuidedTrial try_guidance(const Backbone& backbone, const Head& head, const TrialPrompts& prompts, Judge& judge,
                         const TrialSettings& settings);

}  // namespace coala
