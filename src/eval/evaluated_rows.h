#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "eval/metrics.h"
#include "features/feature_set.h"

namespace coala {

/// What a head says of each evaluation row: what figures are drawn from. All are [n].
struct EvaluatedRows {
  /// Places of the rows among those of whole responses in their feature file, counted from 0: the k-th record of the
  /// data is row k.
  std::vector<std::size_t> record;
  std::vector<std::int64_t> prompt_id;
  std::vector<double> margins;  ///< by how much the right answer is ahead, negative when it is behind
  std::vector<double> scores;   ///< pairs: the margin again; labelled rows: the score
  std::vector<double> lengths;  ///< characters; pairs: chosen minus rejected. Empty when the data have none
};

/// @param record  of the set's rows, [n]
EvaluatedRows evaluated_rows(const FeatureSet& set, const Scores& scores, std::vector<std::size_t> record);

/// The place of each row among those of whole responses, [n]; of a row of beginnings: that of the next whole one.
std::vector<std::size_t> record_numbers(const FeatureSet& set);

/// One evaluation row for a person to read.
struct Example {
  std::size_t record = 0;  ///< as in EvaluatedRows
  double margin = 0;
  // Texts, when the data are at hand.
  std::string id;
  std::string prompt;
  std::string chosen;    ///< labelled rows: the response
  std::string rejected;  ///< labelled rows: empty
  int label = 0;         ///< labelled rows: -1 or +1
};

struct Examples {
  std::vector<Example> right;
  std::vector<Example> wrong;
  bool with_texts = false;
};

/// The rows that the head is surest of, at most `count` that it gets right and as many that it gets wrong (ties are
/// wrong), the surest first and one of each prompt.
Examples surest_rows(const EvaluatedRows& rows, std::size_t count);

}  // namespace coala
