#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "coala/model_choices.h"
#include "lm/backbone.h"
#include "lm/precision.h"

namespace coala {

const char* pooling_name(Pooling pooling);  ///< "mean", "last", "mean+last"
const char* pool_over_name(PoolOver over);  ///< "response", "all"

/// What decides the numbers of a feature, beside the model and the text.
struct FeatureSettings {
  Pooling pooling = Pooling::Mean;
  PoolOver over = PoolOver::Response;
  /// Longest prompt and response together; 0 means kDefaultMaxLength_tokens, or the model's context when that is less.
  std::size_t max_length_tokens = 0;
  TemplateMode template_mode = TemplateMode::Model;
  /// k > 0: rows of the first k, 2k, .. tokens of the responses as well, for heads that judge unfinished text.
  std::size_t prefix_every_tokens = 0;
  std::vector<std::size_t> layers = {0};  ///< whose states are pooled, side by side; see StateOptions::layers
  Precision precision = Precision::F32;

  bool operator==(const FeatureSettings&) const = default;
};
inline constexpr std::size_t kDefaultMaxLength_tokens = 512;
inline constexpr std::size_t kSmallestMaxLength_tokens = 8;

/// "3,6,last": layers as people write them; 0 is the last one after the final norm.
std::string layers_name(const std::vector<std::size_t>& layers);
/// @throws Error{BadUsage}
std::vector<std::size_t> parse_layers(const std::string& text);

}  // namespace coala
