#include "coala/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>

#include "api/state.h"
#include "coala/error.h"
#include "features/feature_checks.h"

namespace coala::v1 {
namespace {

const std::string kArrays = "the arrays";

void check_size(std::string_view name, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw Error(ErrorCode::BadUsage, fmt::format("'{}' has {} entries; expected {}", name, found, expected));
}

StoredRows matrix_of(std::string_view name, std::span<const float> values, std::size_t rows, std::size_t dimension) {
  if (rows < 1 || dimension < 1 || rows > std::numeric_limits<std::size_t>::max() / dimension) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("{} rows of dimension {} are given; expected 1 or more of each", rows, dimension));
  }
  check_size(name, values.size(), rows * dimension);
  Matrix<float> matrix(rows, dimension);
  std::ranges::copy(values, matrix.values().begin());
  StoredRows stored(std::move(matrix));
  check_finite(stored, name, kArrays);
  return stored;
}

template <class T>
std::vector<T> column_of(std::string_view name, std::span<const T> values, std::size_t rows) {
  if (!values.empty()) check_size(name, values.size(), rows);
  return {values.begin(), values.end()};
}

std::vector<std::int32_t> lengths_of(std::string_view name, std::span<const std::int32_t> values, std::size_t rows) {
  std::vector<std::int32_t> lengths = column_of(name, values, rows);
  for (std::size_t i = 0; i < lengths.size(); ++i) check_length(lengths[i], i, name, kArrays);
  return lengths;
}

/// What rows of both kinds have.
template <class Arrays>
void add_columns(FeatureSet& set, const Arrays& arrays) {
  set.path = kArrays;
  set.prompt_id = column_of("prompt", arrays.prompt, arrays.rows);
  set.has_prompt_id = !set.prompt_id.empty();
  if (!set.has_prompt_id) {
    set.prompt_id.resize(arrays.rows);
    std::iota(set.prompt_id.begin(), set.prompt_id.end(), 0);
  }
  set.weight = column_of("weight", arrays.weight, arrays.rows);
  check_weights(set.weight, kArrays);
}

}  // namespace

Features Features::of_pairs(const PairArrays& arrays) {
  FeatureSet set;
  set.kind = FeatureKind::Pairs;
  set.chosen = matrix_of("chosen", arrays.chosen, arrays.rows, arrays.dimension);
  set.rejected = matrix_of("rejected", arrays.rejected, arrays.rows, arrays.dimension);
  add_columns(set, arrays);
  set.margin = column_of("margin", arrays.margin, arrays.rows);
  coala::check_finite(std::span<const float>(set.margin), "margin", kArrays);
  set.length_chosen = lengths_of("length_chosen", arrays.length_chosen, arrays.rows);
  set.length_rejected = lengths_of("length_rejected", arrays.length_rejected, arrays.rows);
  if (set.length_chosen.empty() != set.length_rejected.empty()) {
    throw Error(ErrorCode::BadUsage, "lengths of one of the two responses are given; expected both or neither");
  }
  return features_of(std::move(set));
}

Features Features::of_labelled(const LabelledArrays& arrays) {
  FeatureSet set;
  set.kind = FeatureKind::Labelled;
  set.features = matrix_of("features", arrays.features, arrays.rows, arrays.dimension);
  check_size("labels", arrays.labels.size(), arrays.rows);
  for (std::size_t i = 0; i < arrays.labels.size(); ++i) check_label(arrays.labels[i], i, kArrays);
  set.labels.assign(arrays.labels.begin(), arrays.labels.end());
  add_columns(set, arrays);
  set.length = lengths_of("length", arrays.length, arrays.rows);
  return features_of(std::move(set));
}

Features Features::load(const std::filesystem::path& path) {
  return features_of(load_features(path));
}

bool Features::pairs() const {
  return state_->set.kind == FeatureKind::Pairs;
}

std::size_t Features::rows() const {
  return state_->set.rows();
}

std::size_t Features::dimension() const {
  return state_->set.dimension();
}

bool Features::bound() const {
  return state_->set.bound();
}

const std::map<std::string, std::string>& Features::metadata() const {
  return state_->set.metadata;
}

}  // namespace coala::v1
