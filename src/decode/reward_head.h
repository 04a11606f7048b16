#pragma once

#include "extract/feature_settings.h"
#include "head/head.h"

namespace coala {

/// A reward head and what its features are.
struct RewardHead {
  const Head* head = nullptr;
  FeatureSettings features;
};

}  // namespace coala
