#include "cli/feature_options.h"

#include <fmt/format.h>

#include "cli/choice.h"

namespace coala {

void add_feature_options(CLI::App& command, FeatureSettings& settings) {
  add_choice(command, "--pooling", settings.pooling, "how the states of the tokens become one vector",
             {{"mean", Pooling::Mean}, {"last", Pooling::Last}, {"mean+last", Pooling::MeanAndLast}});
  command
      .add_option_function<std::string>(
          "--layers", [&settings](const std::string& text) { settings.layers = parse_layers(text); },
          "layers whose states are pooled, side by side: numbers from 1, or last (after the final norm)")
      ->default_str(layers_name(settings.layers));
  add_choice(command, "--pool-over", settings.over, "tokens that are pooled: the response's, or the prompt's too",
             {{"response", PoolOver::Response}, {"all", PoolOver::All}});
  add_choice(command, "--precision", settings.precision,
             "products with the model's weights: bf16 rounds weights and states, twice as fast where the CPU has "
             "instructions for it",
             {{"f32", Precision::F32}, {"bf16", Precision::BF16}});
  command
      .add_option("--max-length", settings.max_length_tokens,
                  fmt::format("longest prompt and response in tokens; default: {} or the model's context",
                              kDefaultMaxLength_tokens))
      ->check(CLI::PositiveNumber);
}

}  // namespace coala
