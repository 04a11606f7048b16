#include "features/feature_subset.h"

namespace coala {
namespace {

template <class T>
std::vector<T> entries_of(const std::vector<T>& values, const std::vector<std::size_t>& rows) {
  std::vector<T> result;
  if (values.empty()) return result;
  result.reserve(rows.size());
  for (const std::size_t row : rows) result.push_back(values[row]);
  return result;
}

}  // namespace

FeatureSet subset(const FeatureSet& set, const std::vector<std::size_t>& rows) {
  FeatureSet result;
  result.kind = set.kind;
  result.chosen = set.chosen.subset(rows);
  result.rejected = set.rejected.subset(rows);
  result.features = set.features.subset(rows);
  if (set.token_basis) {
    result.token_sums_chosen = set.token_sums_chosen.subset(rows);
    result.token_sums_rejected = set.token_sums_rejected.subset(rows);
    result.token_sums = set.token_sums.subset(rows);
    result.token_basis = set.token_basis;
  }
  result.labels = entries_of(set.labels, rows);
  result.prompt_id = entries_of(set.prompt_id, rows);
  result.has_prompt_id = set.has_prompt_id;
  result.length_chosen = entries_of(set.length_chosen, rows);
  result.length_rejected = entries_of(set.length_rejected, rows);
  result.length = entries_of(set.length, rows);
  result.prefix_tokens = entries_of(set.prefix_tokens, rows);
  result.weight = entries_of(set.weight, rows);
  result.margin = entries_of(set.margin, rows);
  result.subset = entries_of(set.subset, rows);
  result.metadata = set.metadata;
  result.path = set.path;
  return result;
}

bool is_whole(const FeatureSet& set, std::size_t row) {
  return set.prefix_tokens.empty() || set.prefix_tokens[row] == 0;
}

FeatureSet whole_rows(const FeatureSet& set) {
  if (set.prefix_tokens.empty()) return set;
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    if (is_whole(set, i)) rows.push_back(i);
  }
  return subset(set, rows);
}

}  // namespace coala
