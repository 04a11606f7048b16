#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "coala/api.h"

namespace coala::v1 {

/// Preferences as numbers: row i says that `chosen` row i is better than `rejected` row i. Matrices are row-major. What
/// may be empty says nothing of any row.
struct PairArrays {
  std::size_t rows = 0;                       ///< n, >= 1
  std::size_t dimension = 0;                  ///< d, >= 1
  std::span<const float> chosen = {};         ///< [n, d], finite
  std::span<const float> rejected = {};       ///< [n, d], finite
  std::span<const std::int64_t> prompt = {};  ///< [n] or empty; rows of one prompt have one number, and are held out
                                              ///< together. Empty: every row is of its own
  std::span<const float> weight = {};         ///< [n] or empty, > 0: how much a row counts
  std::span<const float> margin = {};         ///< [n] or empty, finite: by how much chosen is better
  std::span<const std::int32_t> length_chosen = {};    ///< [n] or empty: characters of the responses
  std::span<const std::int32_t> length_rejected = {};  ///< [n] or empty
};

/// Responses that are good or bad by themselves, as numbers; the rest as in PairArrays.
struct LabelledArrays {
  std::size_t rows = 0;
  std::size_t dimension = 0;
  std::span<const float> features = {};      ///< [n, d], finite
  std::span<const std::int8_t> labels = {};  ///< [n], -1 or +1
  std::span<const std::int64_t> prompt = {};
  std::span<const float> weight = {};
  std::span<const std::int32_t> length = {};  ///< [n] or empty: characters
};

/// Rows of numbers that heads are fitted to and judged on. Immutable; copies share the numbers.
class COALA_API Features {
 public:
  /// Copies the arrays.
  /// @throws Error{BadUsage} for arrays of the wrong size, Error{BadInput} for a number that is not finite, a weight
  ///   that is not above 0, a label that is not -1 or +1, a length below 0: with its row and column
  static Features of_pairs(const PairArrays& arrays);
  static Features of_labelled(const LabelledArrays& arrays);

  /// Reads what `coala extract` or extract_to_file() wrote, or anybody's safetensors with `chosen` and `rejected`, or
  /// `features` and `labels`; rows stay in the mapped file.
  /// @throws Error{BadInput, CorruptFile}
  static Features load(const std::filesystem::path& path);

  bool pairs() const;             ///< else labelled
  std::size_t rows() const;       ///< n
  std::size_t dimension() const;  ///< d
  /// Whether they say which model they come from. A head of features that do not cannot be tied to a model.
  bool bound() const;
  const std::map<std::string, std::string>& metadata() const;  ///< docs/head-file.md; empty for arrays

  struct State;  ///< of coala's own sources, as in the other classes
  explicit Features(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

}  // namespace coala::v1
