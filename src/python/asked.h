#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api_lm/layer_settings.h"

namespace coala::python {

/// What generate() and stream() are asked.
struct AskedReplies {
  v1::Model model;
  v1::Request request;
  v1::RequestSettings settings;
};

/// @param heads       pairs of a head and its scale, or None for the guidance's own
/// @param stops       texts that a reply ends before
/// @param logit_bias  by token
/// @param keywords    of the lists of ReplyKeywords, SamplerOptions and BranchSettings
/// @throws Error{BadUsage} also for a keyword that does not go with the guidance
AskedReplies asked_replies(const v1::Model& model, const pybind11::object& prompt, const pybind11::list& heads,
                           const std::vector<std::string>& stops, const std::map<std::int32_t, double>& logit_bias,
                           const pybind11::dict& keywords);

}  // namespace coala::python
