#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "coala/api.h"
#include "coala/features.h"

namespace coala::v1 {

/// A reward head: scores features, and says which model they must come from. Immutable; copies share it.
class COALA_API Head {
 public:
  /// Reads a head file (docs/head-file.md).
  /// @throws Error{BadInput} when it cannot be opened, Error{CorruptFile} when it is damaged or no head,
  ///   Error{Mismatch} for a format that this version does not know
  static Head load(const std::filesystem::path& path);
  /// Writes a head file: all of it or nothing. @throws Error{Io}
  void save(const std::filesystem::path& path) const;

  std::size_t dimension() const;                               ///< d
  bool bound() const;                                          ///< whether it says which model it is for
  bool has_token_head() const;                                 ///< whether it can guide every token
  const std::map<std::string, std::string>& metadata() const;  ///< docs/head-file.md

  /// @param features  [d]. @throws Error{BadUsage} for another size
  double score(std::span<const float> features) const;
  /// Of a score: the probability that the response is good, or of a difference of scores, that the first is better.
  double probability(double score) const;

  struct State;
  explicit Head(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

/// Scores of rows; what is not of their kind is empty.
struct Scores {
  std::vector<double> chosen = {};    ///< [n] of pairs
  std::vector<double> rejected = {};  ///< [n] of pairs
  std::vector<double> single = {};    ///< [n] of labelled rows
};

/// @throws Error{Mismatch} when the features are not of the head's kind: dimension, or where both say so the model;
///   Error{BadInput} when a score is not finite
COALA_API Scores score(const Head& head, const Features& features);

}  // namespace coala::v1
