#include "extract/feature_extractor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "extract/kept_states.h"
#include "extract/pooled_features.h"
#include "extract/token_sums.h"

namespace coala {
namespace {

std::size_t choose_limit(const BackboneIdentity& backbone, std::size_t asked) {
  if (asked == 0) return std::min(kDefaultMaxLength_tokens, backbone.context_tokens);
  // Beyond it the model evaluates a text in another way; longer ones are cut, as they would be at a smaller limit.
  if (!backbone.context_reason.empty()) asked = std::min(asked, backbone.context_tokens);
  if (asked < kSmallestMaxLength_tokens || asked > backbone.context_tokens) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the maximum length is {} tokens; {} to {} are possible with {}", asked,
                            kSmallestMaxLength_tokens, backbone.context_tokens, backbone.name),
                "choose another --max-length");
  }
  return asked;
}

Truncation cut_tokens(Cut cut, std::size_t prompt, std::size_t fixed, std::size_t longest, std::size_t limit) {
  if (cut == Cut::Fit || prompt + longest <= limit) return fit_tokens(prompt, fixed, longest, limit);
  if (cut == Cut::None) {
    throw Error(ErrorCode::BadInput,
                fmt::format("prompt and response have {} tokens, and {} fit", prompt + longest, limit),
                "shorten them, or allow that they are cut");
  }
  const std::size_t room = cut == Cut::Right ? limit - 1 : limit > longest ? limit - longest : 0;
  Truncation kept;
  kept.prompt_tokens = std::clamp(room, std::min(fixed, prompt), prompt);
  kept.response_tokens = limit - kept.prompt_tokens;
  return kept;
}

/// A record's prompt in front of its responses. They share it but for its end: one that brings thoughts of its own gets
/// none from the template.
class Prompts {
 public:
  const EncodedPrompt& before(const Backbone& backbone, const Prompt& prompt, std::string_view response,
                              TemplateMode mode) {
    const bool thinks = backbone.brings_thoughts(prompt, response, mode);
    std::optional<EncodedPrompt>& encoded = forms_[thinks ? 1 : 0];
    if (!encoded) encoded = backbone.encode_prompt(prompt, mode, thinks ? Thinking::On : Thinking::Off);
    return *encoded;
  }
  std::size_t longest() const {
    std::size_t most = 0;
    for (const auto& form : forms_) most = std::max(most, form ? form->tokens.size() : 0);
    return most;
  }
  /// Takes tokens off the front, behind the fixed ones.
  void drop(std::size_t count) {
    for (std::optional<EncodedPrompt>& form : forms_) {
      if (!form) continue;
      const auto first = form->tokens.begin() + static_cast<std::ptrdiff_t>(form->fixed_tokens);
      const std::size_t most = form->tokens.size() - form->fixed_tokens;
      form->tokens.erase(first, first + static_cast<std::ptrdiff_t>(std::min(count, most)));
    }
  }

 private:
  std::array<std::optional<EncodedPrompt>, 2> forms_;  ///< without thinking, and with it
};

/// Tells of states that were kept as they are used, and ends the work when the user asks for it.
class ReplayCounter : public TokenConsumer {
 public:
  explicit ReplayCounter(const FeatureExtractor::OnTokens& on_tokens) : on_tokens_(on_tokens) {}
  void take(const EvaluatedToken&) override {
    constexpr std::uint64_t kTogether = 64;
    if (++count_ % kTogether != 0) return;
    throw_if_interrupted();
    if (on_tokens_) on_tokens_(kTogether);
  }

 private:
  const FeatureExtractor::OnTokens& on_tokens_;
  std::uint64_t count_ = 0;
};

}  // namespace

FeatureCounts& FeatureCounts::operator+=(const FeatureCounts& other) {
  records += other.records;
  responses += other.responses;
  tokens += other.tokens;
  response_tokens += other.response_tokens;
  unique_tokens += other.unique_tokens;
  evaluated_tokens += other.evaluated_tokens;
  attention_pairs += other.attention_pairs;
  truncated_prompts += other.truncated_prompts;
  truncated_responses += other.truncated_responses;
  dropped_prompt_tokens += other.dropped_prompt_tokens;
  dropped_response_tokens += other.dropped_response_tokens;
  marked_records += other.marked_records;
  return *this;
}

FeatureCounts FeatureCounts::operator-(const FeatureCounts& earlier) const {
  FeatureCounts result = *this;
  result.records -= earlier.records;
  result.responses -= earlier.responses;
  result.tokens -= earlier.tokens;
  result.response_tokens -= earlier.response_tokens;
  result.unique_tokens -= earlier.unique_tokens;
  result.evaluated_tokens -= earlier.evaluated_tokens;
  result.attention_pairs -= earlier.attention_pairs;
  result.truncated_prompts -= earlier.truncated_prompts;
  result.truncated_responses -= earlier.truncated_responses;
  result.dropped_prompt_tokens -= earlier.dropped_prompt_tokens;
  result.dropped_response_tokens -= earlier.dropped_response_tokens;
  result.marked_records -= earlier.marked_records;
  return result;
}

Truncation fit_tokens(std::size_t prompt_tokens, std::size_t fixed_tokens, std::size_t longest_response_tokens,
                      std::size_t limit_tokens) {
  const std::size_t floor = std::min(prompt_tokens, std::max(fixed_tokens, limit_tokens / 4));
  const std::size_t room = limit_tokens > longest_response_tokens ? limit_tokens - longest_response_tokens : 0;
  Truncation fit;
  fit.prompt_tokens = std::clamp(room, floor, prompt_tokens);
  fit.response_tokens = limit_tokens - fit.prompt_tokens;
  return fit;
}

FeatureExtractor::FeatureExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads,
                                   std::shared_ptr<const TokenProjection> projection)
    : backbone_(backbone),
      settings_(settings),
      limit_(choose_limit(backbone.identity(), settings.max_length_tokens)),
      evaluator_(
          backbone,
          {.longest_tokens = limit_, .threads = threads, .layers = settings.layers, .precision = settings.precision}),
      projection_(std::move(projection)) {
  if (projection_) {
    if (settings.layers != std::vector<std::size_t>{0}) {
      throw Error(ErrorCode::BadUsage, "a token head acts on the last layer's states, and --layers names others",
                  "leave --layers out, or leave the token head out with --token-rank 0");
    }
    mean_ = std::make_unique<NextTokenMean>(*projection_->output);
  }
  if (settings.prefix_every_tokens > 0 && backbone.identity().encoder) {
    throw Error(
        ErrorCode::BadUsage,
        fmt::format("{} is an encoder: what it makes of a token depends on the tokens after it, so beginnings of "
                    "a response have no features of their own",
                    backbone.identity().name),
        "leave --prefix-rows out");
  }
}

std::size_t FeatureExtractor::pooled_dimension() const {
  return evaluator_.state_size() * (settings_.pooling == Pooling::MeanAndLast ? 2 : 1);
}

std::size_t FeatureExtractor::dimension() const {
  return pooled_dimension() + (projection_ ? projection_->basis.width() : 0);
}

std::size_t FeatureExtractor::features_of(const EncodedResponse& response) const {
  const std::size_t every = settings_.prefix_every_tokens;
  if (every == 0) return 1;
  return (response.tokens.size() - response.closing_tokens - response.prompt_tokens + every - 1) / every;
}

std::string FeatureExtractor::control_text_in(const Prompt& prompt, std::span<const std::string_view> responses) const {
  std::string found = backbone_.control_text_in(prompt.text);
  for (const Message& message : prompt.messages) {
    if (found.empty()) found = backbone_.control_text_in(message.content);
  }
  for (const std::string_view response : responses) {
    if (found.empty()) found = backbone_.control_text_in(response);
  }
  if (!found.empty()) {
    std::call_once(*marker_said_, [&] {
      log_warning(
          fmt::format("a text holds {}, a control token of {}, and it is read as plain characters; if the texts "
                      "carry a chat template already, --template parsed reads them as they are meant",
                      quoted_text(found, 40), backbone_.identity().name));
    });
  }
  return found;
}

std::vector<EncodedResponse> FeatureExtractor::encode(const Prompt& prompt, std::span<const std::string_view> responses,
                                                      FeatureCounts& counts, const Encoding& how) const {
  const TemplateMode mode = how.template_mode.value_or(settings_.template_mode);
  Prompts prompts;
  std::vector<std::vector<Token>> answers;
  std::vector<const EncodedPrompt*> in_front;
  std::size_t longest = 0;
  for (std::size_t k = 0; k < responses.size(); ++k) {
    const EncodedPrompt& encoded = prompts.before(backbone_, prompt, responses[k], mode);
    in_front.push_back(&encoded);
    answers.push_back(backbone_.encode_response(encoded, responses[k]));
    if (responses[k].empty() || answers.back().empty()) {
      throw Error(ErrorCode::BadInput, fmt::format("response {} of {} has no tokens", k + 1, responses.size()),
                  "every response needs some text; drop the record or fill it in");
    }
    longest = std::max(longest, answers.back().size());
  }
  const std::span<const Token> closing = backbone_.closing();
  const Truncation fit =
      cut_tokens(how.cut, prompts.longest(), in_front.front()->fixed_tokens, longest, limit_ - closing.size());
  if (const std::size_t dropped = prompts.longest() - fit.prompt_tokens; dropped > 0) {
    ++counts.truncated_prompts;
    counts.dropped_prompt_tokens += dropped;
    prompts.drop(dropped);
  }
  ++counts.records;
  if (mode != TemplateMode::Parsed && !control_text_in(prompt, responses).empty()) {
    ++counts.marked_records;
  }
  std::vector<EncodedResponse> result;
  for (std::size_t k = 0; k < answers.size(); ++k) {
    std::vector<Token>& answer = answers[k];
    const std::vector<Token>& begun = in_front[k]->tokens;
    const bool complete = answer.size() <= fit.response_tokens;
    if (!complete) {
      ++counts.truncated_responses;
      counts.dropped_response_tokens += answer.size() - fit.response_tokens;
      const auto front = answer.begin() + static_cast<std::ptrdiff_t>(answer.size() - fit.response_tokens);
      if (how.cut == Cut::Left) answer.erase(answer.begin(), front);
      answer.resize(fit.response_tokens);
    }
    EncodedResponse response{begun, begun.size(), closing.size(), complete};
    response.tokens.insert(response.tokens.end(), answer.begin(), answer.end());
    response.tokens.insert(response.tokens.end(), closing.begin(), closing.end());
    ++counts.responses;
    counts.tokens += response.tokens.size();
    counts.response_tokens += answer.size();
    result.push_back(std::move(response));
  }
  return result;
}

void FeatureExtractor::stream(std::span<const EncodedResponse* const> responses,
                              std::span<TokenConsumer* const> consumers, const OnTokens& on_tokens) {
  std::vector<TokenSequence> sequences;
  for (const EncodedResponse* response : responses) sequences.emplace_back(response->tokens);
  std::uint64_t told = evaluator_.evaluated_tokens();
  evaluator_.evaluate(sequences, [&](std::size_t k, std::size_t position, std::span<const float> state) {
    for (TokenConsumer* consumer : consumers) consumer->take({k, position, sequences[k][position], state});
    const std::uint64_t evaluated = evaluator_.evaluated_tokens();
    if (evaluated == told) return;
    if (on_tokens) on_tokens(evaluated - told);
    told = evaluated;
  });
}

Matrix<float> FeatureExtractor::pool_apart(std::span<const EncodedResponse* const> responses) {
  std::vector<TokenSequence> sequences;
  std::vector<std::size_t> prompt_tokens;
  std::vector<std::size_t> rows;
  for (const EncodedResponse* response : responses) {
    sequences.emplace_back(response->tokens);
    prompt_tokens.push_back(response->prompt_tokens);
    rows.push_back(rows.size());
  }
  Matrix<float> features(responses.size(), pooled_dimension());
  FeatureSettings whole = settings_;
  whole.prefix_every_tokens = 0;
  PooledFeatures pooled(whole, evaluator_.state_size(), responses, rows, features);
  evaluator_.evaluate_apart(sequences, prompt_tokens,
                            [&](std::size_t k, std::size_t position, std::span<const float> state) {
                              pooled.take({k, position, sequences[k][position], state});
                            });
  return features;
}

Matrix<float> FeatureExtractor::pool(std::span<const EncodedResponse* const> responses, const Matrix<float>* kept,
                                     const OnTokens& on_tokens) {
  const auto feed = [&](std::span<TokenConsumer* const> consumers) {
    if (kept != nullptr) {
      ReplayCounter counter(on_tokens);
      std::vector<TokenConsumer*> all(consumers.begin(), consumers.end());
      all.push_back(&counter);
      replay(responses, *kept, all);
    } else {
      stream(responses, consumers, on_tokens);
    }
  };
  std::vector<std::size_t> first_rows;
  std::size_t rows = 0;
  for (const EncodedResponse* response : responses) {
    first_rows.push_back(rows);
    rows += features_of(*response);
  }
  Matrix<float> features(rows, dimension());
  PooledFeatures pooled(settings_, evaluator_.state_size(), responses, first_rows, features);
  if (!projection_) {
    TokenConsumer* const only = &pooled;
    feed({&only, 1});
    return features;
  }
  TokenSums sums(*projection_, *mean_, responses, backbone_.tokenizer().end());
  const std::array<TokenConsumer*, 2> both{&pooled, &sums};
  feed(both);
  sums.flush();
  for (std::size_t k = 0; k < responses.size(); ++k) {
    const std::size_t last = first_rows[k] + features_of(*responses[k]) - 1;
    sums.write(k, features.row(last).subspan(pooled_dimension()));
  }
  return features;
}

double evaluation_flops(const BackboneIdentity& backbone, const FeatureCounts& counts) {
  return 2.0 * static_cast<double>(backbone.active_parameters) * static_cast<double>(counts.evaluated_tokens) +
         4.0 * static_cast<double>(backbone.layers) * static_cast<double>(backbone.attention_width) *
             static_cast<double>(counts.attention_pairs);
}

double token_sum_flops(const TokenProjection* projection, const FeatureCounts& counts) {
  if (projection == nullptr) return 0;
  const auto v = static_cast<double>(projection->output->vocabulary());
  const auto d = static_cast<double>(projection->output->dimension());
  const auto r = static_cast<double>(projection->basis.rank());
  const double each = v * (2 * d + 1 + 2 * r) + 2 * r * d + 2 * r * r;
  return projection->share * static_cast<double>(counts.response_tokens) * each;
}

}  // namespace coala
