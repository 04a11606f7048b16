#include "decode/diversity.h"

#include <set>
#include <utility>

namespace coala {

Diversity diversity(std::span<const std::vector<Token>> texts) {
  std::set<Token> tokens;
  std::set<std::pair<Token, Token>> pairs;
  std::size_t token_count = 0, pair_count = 0, runs = 0, repeated = 0;
  for (const std::vector<Token>& text : texts) {
    tokens.insert(text.begin(), text.end());
    token_count += text.size();
    for (std::size_t i = 0; i + 1 < text.size(); ++i, ++pair_count) pairs.insert({text[i], text[i + 1]});
    std::set<std::vector<Token>> seen;
    for (std::size_t i = 0; i + 4 <= text.size(); ++i, ++runs) {
      const auto first = text.begin() + static_cast<std::ptrdiff_t>(i);
      repeated += seen.insert({first, first + 4}).second ? 0 : 1;
    }
  }
  const auto share = [](std::size_t part, std::size_t all) {
    return all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all);
  };
  return {share(tokens.size(), token_count), share(pairs.size(), pair_count), share(repeated, runs)};
}

}  // namespace coala
