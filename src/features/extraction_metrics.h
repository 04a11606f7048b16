#pragma once

#include <cstdint>

#include "core/metric.h"

namespace coala {

/// What the extraction of features evaluated and cut.
struct ExtractionMetrics {
  std::uint64_t records = 0;
  std::uint64_t tokens = 0;
  std::uint64_t unique_tokens = 0;
  std::uint64_t evaluated_tokens = 0;
  std::uint64_t truncated_prompts = 0;
  std::uint64_t truncated_responses = 0;
  std::uint64_t dropped_prompt_tokens = 0;
  std::uint64_t dropped_response_tokens = 0;
  std::uint64_t marked_records = 0;
  bool up_to_date = false;
  std::uint64_t resumed_tokens = 0;
  double seconds = 0;
  double tokens_per_second = 0;

  static constexpr MetricTable kTable{
      "Extraction", "What the extraction of features evaluated and cut, of training and evaluation data together."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "records", .about = "records with features", .unit = "records"}, self.records);
    add(Metric{.key = "tokens",
               .about = "prompt and response of each response, as if nothing was shared",
               .unit = "tokens"},
        self.tokens);
    add(Metric{.key = "unique_tokens", .about = "those that differ in what stands before them", .unit = "tokens"},
        self.unique_tokens);
    add(Metric{.key = "evaluated_tokens", .about = "those that the model evaluated", .unit = "tokens"},
        self.evaluated_tokens);
    add(Metric{.key = "truncated_prompts", .about = "prompts that were cut to the maximum length", .unit = "prompts"},
        self.truncated_prompts);
    add(Metric{.key = "truncated_responses", .about = "responses that were cut", .unit = "responses"},
        self.truncated_responses);
    add(Metric{.key = "dropped_prompt_tokens", .about = "tokens of prompts that were cut off", .unit = "tokens"},
        self.dropped_prompt_tokens);
    add(Metric{.key = "dropped_response_tokens", .about = "tokens of responses that were cut off", .unit = "tokens"},
        self.dropped_response_tokens);
    add(Metric{.key = "marked_records",
               .about = "records with a control token of the model in their text, read as plain characters",
               .unit = "records"},
        self.marked_records);
    add(Metric{.key = "up_to_date", .about = "the features were there already"}, self.up_to_date);
    add(Metric{.key = "resumed_tokens", .about = "tokens that an earlier run had evaluated", .unit = "tokens"},
        self.resumed_tokens);
    add(Metric{.key = "seconds", .about = "wall-clock time", .unit = "s"}, self.seconds);
    add(Metric{.key = "tokens_per_second", .about = "speed of the evaluation", .unit = "tokens/s"},
        self.tokens_per_second);
  }
};

}  // namespace coala
