#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/data_options.h"
#include "cli/model_options.h"
#include "data/record_store.h"
#include "features/feature_set.h"
#include "head/head.h"
#ifdef COALA_HAVE_LM
#include "extract/feature_extractor.h"
#endif

namespace coala {

/// A model and data to run through it for a head.
struct ModelInput {
  ModelOptions model;
  DataOptions data;
  bool allow_unbound = false;  ///< accept a head that does not say which model it belongs to
};

void add_model_input_options(CLI::App& command, ModelInput& input, bool model_required, bool data_required);

#ifdef COALA_HAVE_LM
/// The settings that a head's features were made with, after a check that the model and its template are those it was
/// trained with.
/// @throws Error{Mismatch}
FeatureSettings check_model(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                            const ModelOptions& model, bool allow_unbound);
#endif

struct HeadFeatures {
  FeatureSet features;
  std::vector<std::string> ids;  ///< of the records, [n]; none for features from a file
};

/// Features of the data, judged or not, as the head needs them: its pooling, template and maximum length. The model is
/// checked against the head before anything is evaluated.
/// @throws Error{Mismatch}; Error{NotBuilt} in a build without the language-model part
HeadFeatures features_for_head(const Head& head, const std::filesystem::path& head_path, const ModelInput& input,
                               int threads);
/// Answers to a prompt that the command line has, numbered from 1.
std::vector<Labelled> given_answers(const std::optional<std::string>& prompt,
                                    const std::vector<std::string>& responses);
/// What --data names, read.
std::shared_ptr<const RecordStore> read_records(const DataOptions& data, bool unjudged);

}  // namespace coala
