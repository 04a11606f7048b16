#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/dataset.h"
#include "coala/features.h"
#include "coala/head.h"
#include "coala/model.h"

namespace coala::v1 {

/// How a response becomes d numbers, d being a hidden state's.
struct FeatureSettings {
  Pooling pooling = Pooling::Mean;  ///< MeanAndLast has 2 d
  PoolOver over = PoolOver::Response;
  std::size_t max_length_tokens = 0;  ///< of prompt and response, which are cut; 0: 512, or the context's
  TemplateMode template_mode = TemplateMode::Model;
  bool skip_bad = false;  ///< records that the model cannot take are left out
};

struct Extraction {
  Features features;
  std::vector<std::size_t> records = {};  ///< numbers in the dataset of the rows, [n]
  std::uint64_t tokens = 0;               ///< of all sequences, as if nothing was shared
  std::uint64_t evaluated_tokens = 0;     ///< by the model: what records have in common is evaluated once
  double seconds = 0;
};

/// Runs records through a model. Texts that are longer than the maximum are cut.
/// @throws Error{BadInput} for a record that has no features, unless skip_bad, Error{Interrupted}
COALA_API Extraction extract(const Model& model, const Dataset& data, const FeatureSettings& settings = {},
                             const Context& context = {});
/// The same into a file, or a file that was made of the same already. A call that was stopped or killed is gone on with
/// by the next one.
/// @throws also Error{Mismatch} when `out` was made of something else, Error{Io}
COALA_API Extraction extract_to_file(const Model& model, const Dataset& data, const std::filesystem::path& out,
                                     const FeatureSettings& settings = {}, const Context& context = {});
/// The same as a head needs it: its pooling, template and maximum length.
/// @param allow_unbound  accept a head that does not say which model it is for
/// @throws also Error{Mismatch} for a head of another model
COALA_API Extraction extract_for(const Head& head, const Model& model, const Dataset& data, bool allow_unbound = false,
                                 const Context& context = {});

/// Scores of responses to a prompt, [responses]. Each is evaluated by itself: its score depends on nothing else, to the
/// bit.
/// @throws as extract_for()
COALA_API std::vector<double> score(const Model& model, const Head& head, const Prompt& prompt,
                                    std::span<const std::string> responses, bool allow_unbound = false,
                                    const Context& context = {});

}  // namespace coala::v1
