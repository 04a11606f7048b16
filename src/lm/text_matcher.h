#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace coala {

/// A set of texts, found in others in one pass whatever their number: a trie of their bytes (Fredkin, 1960).
class TextMatcher {
 public:
  /// @param texts  an empty one is never found; of equal ones the first counts
  explicit TextMatcher(std::span<const std::string> texts = {});

  struct Match {
    std::size_t begin = 0;
    std::size_t number = 0;  ///< of the text, in the order of the constructor
  };

  /// The longest of the texts that begins at a place.
  std::optional<std::size_t> longest_at(std::string_view text, std::size_t at) const;

  /// All places where any of the texts stands, overlapping ones too, by where they begin.
  std::vector<Match> all_in(std::string_view text) const;

  /// The first place at or after `from` where one of the texts may begin; the text's size when there is none.
  std::size_t next_start(std::string_view text, std::size_t from) const;

  bool empty() const { return count_ == 0; }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  /// Calls visit(number) for each text that begins at a place, the shortest first.
  template <class Visit>
  void walk(std::string_view text, std::size_t at, const Visit& visit) const;

  std::unordered_map<std::uint64_t, std::uint32_t> edges_;  ///< node * 256 + byte -> node; 0 is the root
  std::vector<std::size_t> ends_{kNone};                    ///< per node: the text that ends there
  std::array<bool, 256> starts_{};
  std::size_t count_ = 0;
};

}  // namespace coala
