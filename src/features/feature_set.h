#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/hash.h"
#include "core/stored_rows.h"
#include "features/token_basis.h"

namespace coala {

/// What a feature file holds: preference pairs, or single responses with a label.
enum class FeatureKind { Pairs, Labelled };

/// A feature file, checked: n >= 1 rows of d >= 1 finite numbers, all columns of n entries. The features stay in the
/// mapped file, as they are stored; a set made of others' rows shares them.
struct FeatureSet {
  FeatureKind kind = FeatureKind::Pairs;

  StoredRows chosen;    ///< [n, d]; pairs only, else empty
  StoredRows rejected;  ///< [n, d]; pairs only, else empty
  StoredRows features;  ///< [n, d]; labelled only, else empty

  // What a token head is fitted to, see extract/token_sums.h: [n, TokenBasis::width()], empty when the file has none.
  StoredRows token_sums_chosen;
  StoredRows token_sums_rejected;
  StoredRows token_sums;                          ///< labelled
  std::shared_ptr<const TokenBasis> token_basis;  ///< whose coordinates they are in; null: there are none

  std::vector<std::int8_t> labels;  ///< [n], -1 or +1; labelled only, else empty

  /// [n]; rows of the same prompt have the same id. 0 .. n-1 when the file has none: every row its own prompt.
  std::vector<std::int64_t> prompt_id;
  bool has_prompt_id = false;  ///< false: prompt_id was filled in

  // Lengths of the responses in Unicode code points, [n]; empty when the file has none.
  std::vector<std::int32_t> length_chosen;
  std::vector<std::int32_t> length_rejected;
  std::vector<std::int32_t> length;  ///< labelled

  /// [n]; of a row that holds the beginnings of the responses: how many tokens of each, 0 for whole responses. Empty
  /// when all rows are of whole responses.
  std::vector<std::int32_t> prefix_tokens;

  std::vector<float> weight;  ///< [n], > 0 and finite; empty when the file has none (all 1)
  std::vector<float> margin;  ///< [n], finite; empty when the file has none

  /// [n]; the part of a benchmark that a row belongs to. Empty for rows from a file, which does not keep it.
  std::vector<std::string> subset;

  std::map<std::string, std::string> metadata;  ///< as `coala extract` writes it; empty for a foreign file
  std::string path;                             ///< where it came from, for messages

  std::size_t rows() const { return kind == FeatureKind::Pairs ? chosen.rows() : features.rows(); }
  std::size_t dimension() const { return kind == FeatureKind::Pairs ? chosen.cols() : features.cols(); }

  /// Whether the file says which backbone, tokenizer, template and pooling its numbers come from. An unbound set can
  /// be trained on, but the head cannot be tied to a model.
  bool bound() const;
  /// A value of the metadata, "" when absent.
  std::string metadata_value(const std::string& key) const;
};

/// Reads a feature file (safetensors with `chosen` and `rejected`, or `features` and `labels`; F32, F16, BF16 or F64),
/// or a folder of them with an index (FeatureIndex). Tensors with other names are ignored.
/// @throws Error{BadInput} when it cannot be opened or holds a wrong value (not finite: first bad row and column;
///   a label that is not -1 or +1; a weight <= 0), Error{CorruptFile} when tensors are missing or shapes disagree,
///   a checksum differs, or a folder's files are not those of its index
FeatureSet load_features(const std::filesystem::path& path);

/// The metadata entry with the checksum of all of a file's numbers; files that others made may lack it.
inline constexpr const char* kDataChecksum = "data.xxh3";

/// Adds a tensor to a checksum; all of a file's tensors are added in the order of their names.
void add_to_checksum(Hasher& hasher, const std::string& name, std::span<const std::byte> bytes);

}  // namespace coala
