#include "decode/named_words.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "core/utf8.h"
#include "linalg/blas.h"

namespace coala {

NamedWords name_words(const Backbone& backbone, const TokenHead& head, const OutputMatrix& output,
                      std::span<const double> mean_state, const std::map<Token, std::size_t>& occurrences) {
  constexpr std::size_t kFewest = 2;  // occurrences of a word that is worth naming
  constexpr std::size_t kNamed = 10;
  const std::size_t r = head.rank();
  std::vector<double> direction(r);  // V'e_c goes along with it
  for (std::size_t a = 0; a < r; ++a) {
    for (std::size_t b = 0; b < r; ++b) direction[b] += mean_state[a] * static_cast<double>(head.weights(a, b));
  }
  std::vector<float> row(output.dimension());
  std::map<std::string, double> values;
  for (const auto& [token, count] : occurrences) {
    const std::string text = backbone.tokenizer().decode({&token, 1}, /*at_start=*/false);
    const std::string word = text.substr(std::min(text.find_first_not_of(' '), text.size()));
    if (count < kFewest || word.empty() || find_invalid_utf8(word) != std::string::npos) continue;
    output.read(static_cast<std::size_t>(token), row);
    double value = 0;
    for (std::size_t b = 0; b < r; ++b) {
      value += direction[b] * dot(head.embeddings.row(b), std::span<const float>(row));
    }
    const auto [place, is_new] = values.emplace(word, value);
    if (!is_new && std::abs(value) > std::abs(place->second)) place->second = value;
  }
  std::vector<std::pair<double, std::string>> order;
  for (const auto& [word, value] : values) order.emplace_back(value, word);
  std::ranges::sort(order, std::ranges::greater{});
  NamedWords words;
  const std::size_t named = std::min(kNamed, order.size() / 2);
  for (std::size_t i = 0; i < named; ++i) {
    words.raised.push_back(order[i].second);
    words.lowered.push_back(order[order.size() - 1 - i].second);
  }
  return words;
}

}  // namespace coala
