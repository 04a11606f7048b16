#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "coala/model_choices.h"
#include "core/setting.h"
#include "lm/backbone.h"
#include "lm/precision.h"

namespace coala {

inline constexpr std::array kPoolings{Named{"mean", Pooling::Mean}, Named{"last", Pooling::Last},
                                      Named{"mean+last", Pooling::MeanAndLast}};
constexpr const auto& names_of(Pooling) {
  return kPoolings;
}
inline constexpr std::array kPoolOvers{Named{"response", PoolOver::Response}, Named{"all", PoolOver::All}};
constexpr const auto& names_of(PoolOver) {
  return kPoolOvers;
}

inline constexpr std::size_t kDefaultMaxLength_tokens = 512;
inline constexpr std::size_t kSmallestMaxLength_tokens = 8;

/// What decides the numbers of a feature, beside the model and the text.
struct FeatureSettings {
  Pooling pooling = Pooling::Mean;
  PoolOver over = PoolOver::Response;
  std::size_t max_length_tokens = 0;
  TemplateMode template_mode = TemplateMode::Model;
  /// k > 0: rows of the first k, 2k, .. tokens of the responses as well, for heads that judge unfinished text.
  std::size_t prefix_every_tokens = 0;
  std::vector<std::size_t> layers = {0};  ///< whose states are pooled, side by side; see StateOptions::layers
  Precision precision = Precision::F32;

  bool operator==(const FeatureSettings&) const = default;

  /// What each is and may be; the keys are those of a feature file's metadata.
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "pooling", .about = "how the states of the tokens become one vector"}, self.pooling);
    add(Setting{.name = "over",
                .about = "tokens that are pooled: the response's, or the prompt's too",
                .key = "pooling.over",
                .option = "pool-over"},
        self.over);
    add(Setting{.name = "max_length_tokens",
                .about = "longest prompt and response in tokens; 0: " + std::to_string(kDefaultMaxLength_tokens) +
                         ", or the model's context when that is less",
                .range = {.least = kSmallestMaxLength_tokens, .or_zero = true},
                .key = "max_length"},
        self.max_length_tokens);
    add(NoSetting{"--template, which may be a file"}, self.template_mode);
    add(Setting{.name = "prefix_every_tokens",
                .about = "rows of the first K, 2K, .. tokens of the responses as well, for heads that judge "
                         "unfinished text",
                .range = {.least = 0},
                .key = "pooling.prefix_every",
                .option = "prefix-rows",
                .has_option = false},  // of a command that trains no head
        self.prefix_every_tokens);
    add(NoSetting{"written as a list, see parse_layers()"}, self.layers);
    add(Setting{.name = "precision",
                .about = "products with the model's weights: bf16 rounds weights and states, twice as fast where the "
                         "CPU has instructions for it",
                .key = "feature.precision",
                .option = "precision"},
        self.precision);
  }
};

/// "3,6,last": layers as people write them; 0 is the last one after the final norm.
std::string layers_name(const std::vector<std::size_t>& layers);
/// @throws Error{BadUsage}
std::vector<std::size_t> parse_layers(const std::string& text);

}  // namespace coala
