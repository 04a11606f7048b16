#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/records.h"

namespace coala::v1 {

struct ReadSettings {
  bool skip_bad = false;  ///< records that cannot be read are left out, and named as warnings
  bool unjudged = false;  ///< answers that nobody has judged are read as well, with the label 0
};

/// Preference pairs or labelled responses, for work that needs them more than once. Immutable; copies share it.
class COALA_API Dataset {
 public:
  /// Reads files of any shape in docs/data-shapes.md.
  /// @param names  files, patterns or folders
  /// @throws Error{BadInput} with file, line, what was found and what was expected, Error{CorruptFile, Interrupted}
  static Dataset read(const std::vector<std::string>& names, const ReadSettings& settings = {},
                      const Context& context = {});
  /// @throws Error{BadInput} for none, and for a response that is empty
  static Dataset of(std::span<const Pair> pairs);
  static Dataset of(std::span<const Labelled> responses);

  std::size_t size() const;
  bool pairs() const;  ///< else labelled responses
  /// Record `number`, from 0. @throws Error{BadUsage} for one of the other kind, or that is not there
  Pair pair(std::size_t number) const;
  Labelled labelled(std::size_t number) const;

  struct State;
  const State& state() const { return *state_; }

 private:
  explicit Dataset(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace coala::v1
