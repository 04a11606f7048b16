#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "coala/model_choices.h"
#include "decode/generation_settings.h"
#include "decode/logits_processor.h"
#include "head/head.h"
#include "lm/backbone.h"

namespace coala {

/// Replies, or ways to go on, that a head chooses from where nobody says how many.
inline constexpr int kBestOf = 8;

/// What is said of a guidance. What is absent is the guidance's own.
struct GuidanceOptions {
  Guidance guidance = Guidance::None;
  std::optional<double> scale = {};    ///< 1 for a token head, BranchSettings' for branches
  std::optional<int> candidates = {};  ///< to choose from
  BranchSettings branch = {};

  double token_scale() const { return scale.value_or(1); }
};

/// What users call each guidance.
const std::map<std::string, Guidance>& guidance_names();
const std::string& guidance_name(Guidance guidance);
/// Does it go by the token head?
bool goes_by_token(Guidance guidance);
/// Does a scale say how strongly?
bool takes_scale(Guidance guidance);
/// Is one of several replies kept?
bool chooses_best(const GuidanceOptions& options);

/// Sets what a guidance needs of the settings alone: its branches, and the number of replies or ways to go on that the
/// head chooses from.
void set_choices(GenerationSettings& settings, const GuidanceOptions& options);

/// Sets what a guidance by a head needs: its tilt or its branches, and the number of replies to choose from.
/// @return  what settings.tilt points to; null where there is none
/// @throws Error{BadUsage} when it needs a token head and there is none
std::unique_ptr<LogitsProcessor> guide(GenerationSettings& settings, const GuidanceOptions& options,
                                       const Backbone& backbone, const Head& head);

}  // namespace coala
