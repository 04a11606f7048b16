#include "extract/feature_settings.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>

#include "core/error.h"

namespace coala {

std::string layers_name(const std::vector<std::size_t>& layers) {
  std::string text;
  for (const std::size_t layer : layers) {
    text += (text.empty() ? "" : ",") + (layer == 0 ? std::string("last") : std::to_string(layer));
  }
  return text;
}

std::vector<std::size_t> parse_layers(const std::string& text) {
  std::vector<std::size_t> layers;
  std::string_view rest = text;
  for (;;) {
    const std::string_view word = rest.substr(0, rest.find(','));
    std::size_t layer = 0;
    if (word != "last") {
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), layer);
      if (error != std::errc{} || end != word.data() + word.size() || layer == 0) {
        throw Error(ErrorCode::BadUsage, fmt::format("'{}' is no layer", word),
                    "name layers by number, from 1, or 'last', with commas between them: --layers 6,last");
      }
    }
    layers.push_back(layer);
    if (word.size() == rest.size()) return layers;
    rest.remove_prefix(word.size() + 1);
  }
}

}  // namespace coala
