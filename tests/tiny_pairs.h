#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "core/random.h"
#include "extract/extract.h"
#include "support.h"

/// Pairs of words that the tiny model knows, and how they are extracted.
namespace coala::test {

inline const Backbone& tiny() {
  static const Backbone backbone(test_file("tiny-llama.gguf"));
  return backbone;
}

inline std::string words(Random& random, std::size_t count) {
  static const char* const kWords[] = {"the", "hen", "and", "inn", "a", "tree", "ran", "über", "in", "sand"};
  std::string text = "so";
  for (std::size_t i = 0; i < count; ++i) text += std::string(" ") + kWords[random.below(10)];
  return text;
}

inline std::vector<Pair> sample_pairs(std::size_t count) {
  Random random(5);
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < count; ++i) {
    Pair pair;
    pair.id = std::to_string(i + 1);
    pair.prompt.messages = {{"user", words(random, 1 + random.below(8))}};
    pair.chosen = words(random, 1 + random.below(12));
    pair.rejected = words(random, 1 + random.below(12));
    pairs.push_back(pair);
  }
  return pairs;
}

inline PairSource source_of(std::vector<Pair> pairs) {
  return [pairs = std::move(pairs), next = std::size_t{0}](Pair& pair) mutable {
    if (next == pairs.size()) return false;
    pair = pairs[next++];
    return true;
  };
}

inline ExtractOptions options() {
  ExtractOptions result;
  result.threads = 1;
  result.data = {"sample", "d41d8cd98f00b204e9800998ecf8427e"};
  return result;
}

}  // namespace coala::test
