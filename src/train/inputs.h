#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/metric.h"
#include "features/feature_set.h"

namespace coala {

/// What a run was trained and evaluated on, for people.
struct DataMetrics {
  std::string training_data;
  std::string evaluation_data;
  std::optional<std::string> model;
  std::optional<std::string> features;
  std::optional<std::string> adapter;
  std::optional<std::string> control;

  static constexpr MetricTable kTable{"Data", "What was trained on what, for people."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kBound = "features of a known model";
    add(Metric{.key = "training data", .about = "name of the data"}, self.training_data);
    add(Metric{.key = "evaluation data", .about = "name of the data, or how they were held out"}, self.evaluation_data);
    add(Metric{.key = "model", .about = "name, architecture and quantisation", .when = kBound}, self.model);
    add(Metric{.key = "features", .about = "pooling and maximum length", .when = kBound}, self.features);
    add(Metric{.key = "adapter", .about = "LoRA adapter with its scale", .when = "there is one"}, self.adapter);
    add(Metric{.key = "control", .about = "how the preferences were shuffled", .when = "of a control"}, self.control);
  }
};

/// Hashes of everything that decides the features, those that they tell.
struct FingerprintMetrics {
  std::optional<std::string> features;
  std::optional<std::string> evaluation_features;
  std::optional<std::string> training_data;
  std::optional<std::string> evaluation_data;
  std::optional<std::string> model;
  std::optional<std::string> adapter;
  std::optional<std::string> tokenizer;
  std::optional<std::string> chat_template;

  static constexpr MetricTable kTable{
      "Fingerprints", "Hashes of everything that decides the features, those that the feature files tell."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kOwn = "an evaluation set of its own";
    add(Metric{.key = "features", .about = "training features", .when = "they tell it"}, self.features);
    add(Metric{.key = "evaluation features", .about = "evaluation features", .when = kOwn}, self.evaluation_features);
    add(Metric{.key = "training data", .about = "file of the training data", .when = "the features tell it"},
        self.training_data);
    add(Metric{.key = "evaluation data", .about = "file of the evaluation data", .when = kOwn}, self.evaluation_data);
    add(Metric{.key = "model", .about = "file of the model", .when = "the features tell it"}, self.model);
    add(Metric{.key = "adapter", .about = "file of the adapter", .when = "there is one"}, self.adapter);
    add(Metric{.key = "tokenizer", .about = "tokenizer", .when = "the features tell it"}, self.tokenizer);
    add(Metric{.key = "chat template", .about = "chat template", .when = "the features tell it"}, self.chat_template);
  }
};

/// What a run was trained and evaluated on, as its features tell it. What foreign features do not say is absent.
struct InputMetrics {
  DataMetrics data;
  std::optional<FingerprintMetrics> fingerprints;
  std::optional<std::uint64_t> tokens;
  std::optional<std::uint64_t> eval_tokens;

  static constexpr MetricTable kTable{"Inputs", "What was trained on what, as the features tell it."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "data", .about = "names of what was used"}, self.data);
    add(Metric{.key = "fingerprints", .about = "hashes of what was used", .when = "features that coala made"},
        self.fingerprints);
    add(Metric{.key = "num_tokens",
               .about = "tokens of all training responses with their prompts, of the whole feature file",
               .unit = "tokens",
               .when = "features that coala made"},
        self.tokens);
    add(Metric{.key = "eval_num_tokens",
               .about = "the same of the evaluation features",
               .unit = "tokens",
               .when = "an evaluation set of its own"},
        self.eval_tokens);
  }
};

/// @param held_out  a set of its own, or null: rows of `train` are held out
InputMetrics input_metrics(const FeatureSet& train, const FeatureSet* held_out);

}  // namespace coala
