#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "extract/feature_extractor.h"
#include "head/head.h"

namespace coala {

/// Scores of responses that do not depend on what else is scored: each is evaluated by itself, behind its prompt, which
/// is evaluated by itself once for the responses to it that stand side by side. So the same text has the same score,
/// bit for bit, from `coala score`, from a judge and from a server, alone and among others; as many prompts are
/// evaluated at a time as memory allows.
class Scorer {
 public:
  /// @param settings  those that the heads' features were made with
  /// @param threads   0: all cores this process may use
  Scorer(const Backbone& backbone, const FeatureSettings& settings, int threads);

  /// For encoding, which may go on beside scoring.
  const FeatureExtractor& extractor() const { return *extractors_.front(); }

  /// One score for each response, not finite where the model's states are not. One thread at a time.
  /// @throws Error{Interrupted}
  std::vector<double> scores(const Head& head, std::span<const EncodedResponse* const> responses);

 private:
  std::vector<std::unique_ptr<FeatureExtractor>> extractors_;
  ThreadPool pool_;
};

}  // namespace coala
