#pragma once

#include <sys/types.h>

#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "coala/records.h"

namespace coala {

/// Two different answers to a prompt.
struct TwoAnswers {
  std::string id;  ///< of the decision
  Prompt prompt;
  std::string first, second;
};

/// A file of decisions which answer is better: coala's own pairs, a tie with a weight of 0. Each is in the file when
/// the next is asked for, and what is in it is not asked again.
class DecisionFile {
 public:
  /// Opens the file or begins one. A line at its end that is half, of a killed run, is dropped.
  /// @throws Error{Mismatch} when the file holds something else, Error{Io}
  explicit DecisionFile(const std::string& path);
  ~DecisionFile();
  DecisionFile(const DecisionFile&) = delete;
  DecisionFile& operator=(const DecisionFile&) = delete;

  bool knows(const std::string& id) const { return known_.contains(id); }
  std::size_t size() const { return known_.size(); }

  /// @param better  1: the second, -1: the first, 0: neither. @throws Error{Io}
  void add(const TwoAnswers& answers, int better);
  /// Takes back the last decision of this run. False when there is none.
  bool undo();

 private:
  [[noreturn]] void refuse() const;
  [[noreturn]] void fail(const char* operation) const;

  std::string path_;
  int descriptor_ = -1;
  std::set<std::string> known_;
  std::vector<std::pair<std::string, off_t>> undo_;  ///< and where each begins
};

}  // namespace coala
