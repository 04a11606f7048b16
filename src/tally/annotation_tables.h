#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tally/transcript.h"

namespace coala {

/// Annotations that exist already, and what their benchmark needs beside them.
struct AnnotationSettings {
  std::vector<std::string> files;
  std::string format = "auto";
  std::string difficulties, gamed, gamed_sums;  ///< AlpacaEval 2
  std::string arena = "auto";                   ///< version of Arena-Hard
  std::vector<std::string> control;             ///< style features
  std::vector<std::string> answers;             ///< files with their metadata
  std::string baseline;
  std::string labels;  ///< of a transcript's pairs: what people said
};

/// The benchmark's table of the annotations, each published figure with its published interval and with one over
/// prompts.
/// @param published_seed  of Arena-Hard's draws
nlohmann::ordered_json annotation_table(const AnnotationSettings& settings, std::uint64_t seed,
                                        std::uint32_t published_seed);

/// Adds what people said as one more judge; no file: nothing.
/// @throws Error{Mismatch} when it is not one comparison; what read_labels() throws
void add_labels(const std::string& file, std::vector<Comparison>& comparisons);

/// What judges said of two sources, with their biases and how much they agree.
nlohmann::ordered_json comparison_tables(std::span<const Comparison> comparisons, std::uint64_t seed);

}  // namespace coala
