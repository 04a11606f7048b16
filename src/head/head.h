#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "features/feature_set.h"
#include "head/fit.h"
#include "head/network.h"
#include "head/token_head.h"
#include "head/transform.h"

namespace coala {

/// A reward head as it is stored: transform, network, and the metadata that ties it to a backbone.
struct Head {
  FeatureTransform transform;
  Network network;
  std::map<std::string, std::string> metadata;
  std::optional<TokenHead> token = {};  ///< for guidance by token; not every head has one

  std::size_t dimension() const { return network.dimension(); }
  /// Score of raw features [d].
  double score(std::span<const float> features) const;
  /// Sigmoid of the score, with the slope that the Phase II objective gave it.
  double probability(double score) const;
  /// Whether the head says which backbone its features come from.
  bool bound() const;
  /// A value of the metadata, "" when absent.
  std::string value(const std::string& key) const;
};

/// The head of a fit, its metadata filled from the fit and from the feature file it was trained on.
Head make_head(const FitResult& fit, const FeatureSet& trained_on);

/// Writes a head file (docs/head-file.md), atomically.
void save_head(const Head& head, const std::filesystem::path& path);

/// Reads a head file.
/// @throws Error{CorruptFile} for a missing, extra or misshaped tensor, or a number that is not finite;
///         Error{Mismatch} for a format version that this program does not know
Head load_head(const std::filesystem::path& path);

/// Refuses features that are not those the head was trained on: dimension, backbone, tokenizer, template, pooling.
/// Those that another device has computed are told of in a warning.
/// @param metadata       of the feature file or of the model at hand, keys as in feature files
/// @param allow_unbound  accept that one side does not say where it comes from
/// @throws Error{Mismatch} with both values
void check_head_matches(const Head& head, const std::filesystem::path& head_path, std::size_t dimension,
                        const std::map<std::string, std::string>& metadata, const std::string& other_name,
                        bool allow_unbound);

}  // namespace coala
