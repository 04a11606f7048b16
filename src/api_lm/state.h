#pragma once

#include "api/state.h"
#include "coala/dataset.h"
#include "coala/extract.h"
#include "coala/model.h"
#include "data/record_store.h"
#include "extract/feature_settings.h"
#include "lm/backbone.h"

namespace coala::v1 {

struct [[gnu::visibility("hidden")]] Model::State {
  explicit State(const ModelFile& file) : backbone(file) {}

  Backbone backbone;
  ModelInfo info;
};

struct [[gnu::visibility("hidden")]] Dataset::State {
  RecordStore store;
};

/// As the layers have it.
ModelFile model_file(const ModelSource& source);
/// The same of settings; what is left out is no part of the layers'.
coala::FeatureSettings internal_settings(const FeatureSettings& settings);
/// Threads of a call where they must be a number.
int threads_of(const Context& context);

}  // namespace coala::v1
