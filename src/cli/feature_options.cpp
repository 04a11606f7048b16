#include "cli/feature_options.h"

#include "terminal/setting_options.h"

namespace coala {

void add_feature_options(CLI::App& command, FeatureSettings& settings) {
  add_setting_options(command, settings);
  command
      .add_option_function<std::string>(
          "--layers", [&settings](const std::string& text) { settings.layers = parse_layers(text); },
          "layers whose states are pooled, side by side: numbers from 1, or last (after the final norm)")
      ->default_str(layers_name(settings.layers));
}

}  // namespace coala
