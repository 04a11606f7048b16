#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/matrix.h"
#include "data/record.h"
#include "extract/feature_settings.h"
#include "extract/token_consumer.h"
#include "extract/token_projection.h"
#include "lm/backbone.h"
#include "lm/hidden_states.h"

namespace coala {

/// What was evaluated and what was left out; sums over records.
struct FeatureCounts {
  std::uint64_t records = 0;
  std::uint64_t responses = 0;
  std::uint64_t tokens = 0;            ///< prompt and response of each response, as if nothing was shared
  std::uint64_t response_tokens = 0;   ///< of them the responses' own
  std::uint64_t unique_tokens = 0;     ///< nodes of the prefix tree of all sequences that were planned together
  std::uint64_t evaluated_tokens = 0;  ///< by the model: what a part of the work that starts anew evaluates again, too
  std::uint64_t attention_pairs = 0;   ///< (token, token it attends to) evaluated by the model
  std::uint64_t truncated_prompts = 0;
  std::uint64_t truncated_responses = 0;
  std::uint64_t dropped_prompt_tokens = 0;  ///< counted once per record
  std::uint64_t dropped_response_tokens = 0;
  std::uint64_t marked_records = 0;  ///< with a control token of the model in their text, read as plain characters

  FeatureCounts& operator+=(const FeatureCounts& other);
  FeatureCounts operator-(const FeatureCounts& earlier) const;
};

/// How a prompt and its responses are made to fit: the prompt's end and the responses' beginnings stay.
struct Truncation {
  std::size_t prompt_tokens = 0;    ///< kept, the fixed ones at the front included
  std::size_t response_tokens = 0;  ///< kept of each response at most
};

/// The prompt loses tokens from its left, after the fixed ones, until the longest response fits, but not below a
/// quarter of the limit; then responses are cut at their end. All responses of a prompt see the same prompt, else a
/// long answer would be judged after another question than a short one.
Truncation fit_tokens(std::size_t prompt_tokens, std::size_t fixed_tokens, std::size_t longest_response_tokens,
                      std::size_t limit_tokens);

/// How what is too long for the model is cut.
enum class Cut {
  Fit,    ///< as fit_tokens() says: what features are made with
  Left,   ///< the front: of the prompt, after its fixed tokens, then of the response
  Right,  ///< the response's end; the prompt's only where no token of a response would fit behind it
  None,   ///< not at all: an error
};

/// How texts become tokens, where it is not as the settings say.
struct Encoding {
  std::optional<TemplateMode> template_mode = {};
  Cut cut = Cut::Fit;
};

/// A response with its prompt, cut to fit.
struct EncodedResponse {
  std::vector<Token> tokens;
  std::size_t prompt_tokens = 0;   ///< how many at the front are the prompt's
  std::size_t closing_tokens = 0;  ///< how many at the end are no part of the response and not pooled
  bool complete = true;            ///< nothing was cut off its end
};

/// Pooled last hidden states of responses, and the sums that a token head is fitted to.
class FeatureExtractor {
 public:
  /// @param projection  null: no sums for a token head
  /// @throws Error{BadUsage} when max_length_tokens is out of range for the model
  FeatureExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads,
                   std::shared_ptr<const TokenProjection> projection = nullptr);

  /// Tokens of the responses to a prompt; counts what was cut. Safe to call while another thread pools.
  /// @throws Error{BadInput} for a response without tokens, for a conversation that the template refuses, and for what
  ///   is too long and must not be cut
  std::vector<EncodedResponse> encode(const Prompt& prompt, std::span<const std::string_view> responses,
                                      FeatureCounts& counts, const Encoding& how = {}) const;

  /// How many features a response has: one, or with FeatureSettings::prefix_every_tokens one for every so many of its
  /// tokens and for what remains at the end.
  std::size_t features_of(const EncodedResponse& response) const;

  /// Is told of tokens as the model has evaluated them, or as their kept states are used.
  using OnTokens = std::function<void(std::uint64_t tokens)>;

  /// Evaluates responses once and hands every token with its state to all consumers. What neighbours have in common is
  /// evaluated once; see StateEvaluator. Nothing is stored here.
  /// @throws Error{Interrupted}; what a consumer throws
  void stream(std::span<const EncodedResponse* const> responses, std::span<TokenConsumer* const> consumers,
              const OnTokens& on_tokens = {});

  /// Features of whole responses, [responses, pooled_dimension()], that depend on nothing but the response and its
  /// prompt, to the bit; see StateEvaluator::evaluate_apart(). Responses to one prompt stand side by side.
  /// @throws Error{Interrupted}
  Matrix<float> pool_apart(std::span<const EncodedResponse* const> responses);

  /// Features, [sum of features_of(), dimension()]: those of a response one after the other, the whole response last,
  /// which alone has sums for a token head (the others have zeros). Not finite where the model's states are not.
  /// @param kept  rows of a StateKeeper that stream() fed before, or null: the model is evaluated
  /// @throws Error{Interrupted}
  Matrix<float> pool(std::span<const EncodedResponse* const> responses, const Matrix<float>* kept = nullptr,
                     const OnTokens& on_tokens = {});

  std::size_t max_length_tokens() const { return limit_; }
  const FeatureSettings& settings() const { return settings_; }
  const Backbone& backbone() const { return backbone_; }
  std::size_t pooled_dimension() const;  ///< of a feature: poolings x layers x d
  std::size_t dimension() const;         ///< the same and TokenBasis::width(), where there is one
  const TokenProjection* projection() const { return projection_.get(); }
  const StateEvaluator& evaluator() const { return evaluator_; }

 private:
  const Backbone& backbone_;
  FeatureSettings settings_;
  std::size_t limit_;
  StateEvaluator evaluator_;
  std::string control_text_in(const Prompt& prompt, std::span<const std::string_view> responses) const;

  std::unique_ptr<std::once_flag> marker_said_ = std::make_unique<std::once_flag>();
  std::shared_ptr<const TokenProjection> projection_;
  std::unique_ptr<NextTokenMean> mean_;
};

/// Floating-point operations of an evaluation: 2 per active parameter and token for the matrices, and
/// 4 x layers x (heads x head dimension) per attention pair for the scores and the weighted sum of the values.
/// Embedding, output matrix, norms and rotations are left out.
double evaluation_flops(const BackboneIdentity& backbone, const FeatureCounts& counts);

/// What the sums for a token head take beside it: for each of the responses' tokens that are looked at, its logits,
/// their exponentials (counted as one), the expectation, and the products. 0 without a projection.
double token_sum_flops(const TokenProjection* projection, const FeatureCounts& counts);

}  // namespace coala
