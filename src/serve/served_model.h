#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "decode/logit_tilt.h"
#include "lm/backbone.h"

namespace coala {

/// A model and the heads that may guide it, under the names that clients know them by.
struct ServedModel {
  const Backbone& backbone;
  std::string name;
  TemplateMode mode = TemplateMode::Model;
  std::map<std::string, std::unique_ptr<LogitTilt>> heads = {};  ///< each at scale 1

  /// "name" for the model as it is, "name+head" with a head.
  std::vector<std::string> names() const;
};

}  // namespace coala
