#pragma once

#include <vector>

#include "align/align.h"
#include "coala/align.h"
#include "coala/extract.h"
#include "coala/generate.h"
#include "decode/branch_settings.h"
#include "extract/feature_settings.h"
#include "lm/sampler.h"

// The library's functions with all that the layers can be told. The public ones call them.

namespace coala::v1 {

/// What a request says of the draw and of branches, instead of its own `sampling` and `guide_every`.
struct RequestSettings {
  SamplerOptions sampling;
  BranchSettings branch;
};

/// @throws Error{BadUsage} for a value out of range, naming it
RequestSettings internal_settings(const Request& request);

Extraction extract(const Model& model, const Dataset& data, const coala::FeatureSettings& settings, bool skip_bad,
                   const Context& context);
Extraction extract_to_file(const Model& model, const Dataset& data, const std::filesystem::path& out,
                           const coala::FeatureSettings& settings, bool skip_bad, const Context& context);
std::vector<Reply> generate(const Model& model, const Request& request, const RequestSettings& settings,
                            const Context& context);
Alignment align(const AlignOptions& options, const Context& context);

}  // namespace coala::v1
