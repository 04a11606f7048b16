#pragma once

#include "extract/feature_settings.h"
#include "python/keywords.h"
#include "python/own_settings.h"

namespace coala::python {

/// All that decides features, from the lists of FeatureSettings and FeatureKeywords.
inline FeatureSettings feature_settings(const py::dict& keywords) {
  auto settings = settings_of<FeatureSettings>(keywords);
  const auto written = settings_of<FeatureKeywords>(keywords);
  settings.template_mode = written.template_mode;
  settings.layers = parse_layers(written.layers);
  return settings;
}

}  // namespace coala::python
