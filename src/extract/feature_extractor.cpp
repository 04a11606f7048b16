#include "extract/feature_extractor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace coala {
namespace {

std::size_t choose_limit(const BackboneIdentity& backbone, std::size_t asked) {
  if (asked == 0) return std::min(kDefaultMaxLength_tokens, backbone.context_tokens);
  if (asked < kSmallestMaxLength_tokens || asked > backbone.context_tokens) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the maximum length is {} tokens; {} to {} are possible with {}", asked,
                            kSmallestMaxLength_tokens, backbone.context_tokens, backbone.name),
                "choose another --max-length");
  }
  return asked;
}

}  // namespace

const char* pooling_name(Pooling pooling) {
  return pooling == Pooling::Mean ? "mean" : "last";
}

const char* pool_over_name(PoolOver over) {
  return over == PoolOver::Response ? "response" : "all";
}

FeatureCounts& FeatureCounts::operator+=(const FeatureCounts& other) {
  records += other.records;
  responses += other.responses;
  tokens += other.tokens;
  unique_tokens += other.unique_tokens;
  attention_pairs += other.attention_pairs;
  truncated_prompts += other.truncated_prompts;
  truncated_responses += other.truncated_responses;
  dropped_prompt_tokens += other.dropped_prompt_tokens;
  dropped_response_tokens += other.dropped_response_tokens;
  return *this;
}

FeatureCounts FeatureCounts::operator-(const FeatureCounts& earlier) const {
  FeatureCounts result = *this;
  result.records -= earlier.records;
  result.responses -= earlier.responses;
  result.tokens -= earlier.tokens;
  result.unique_tokens -= earlier.unique_tokens;
  result.attention_pairs -= earlier.attention_pairs;
  result.truncated_prompts -= earlier.truncated_prompts;
  result.truncated_responses -= earlier.truncated_responses;
  result.dropped_prompt_tokens -= earlier.dropped_prompt_tokens;
  result.dropped_response_tokens -= earlier.dropped_response_tokens;
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

FeatureExtractor::FeatureExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads)
    : backbone_(backbone),
      settings_(settings),
      limit_(choose_limit(backbone.identity(), settings.max_length_tokens)),
      evaluator_(backbone, {.longest_tokens = limit_, .threads = threads}) {}

Matrix<float> FeatureExtractor::extract(const Prompt& prompt, std::span<const std::string_view> responses) {
  EncodedPrompt encoded = backbone_.encode_prompt(prompt, settings_.template_mode);
  std::vector<std::vector<Token>> answers;
  std::size_t longest = 0;
  for (std::size_t k = 0; k < responses.size(); ++k) {
    answers.push_back(backbone_.encode_response(encoded, responses[k]));
    if (responses[k].empty() || answers.back().empty()) {
      throw Error(ErrorCode::BadInput, fmt::format("response {} of {} has no tokens", k + 1, responses.size()),
                  "every response needs some text; drop the record or fill it in");
    }
    longest = std::max(longest, answers.back().size());
  }
  FeatureCounts counts;
  const Truncation fit = fit_tokens(encoded.tokens.size(), encoded.fixed_tokens, longest, limit_);
  if (const std::size_t dropped = encoded.tokens.size() - fit.prompt_tokens; dropped > 0) {
    ++counts.truncated_prompts;
    counts.dropped_prompt_tokens += dropped;
    const auto first = encoded.tokens.begin() + static_cast<std::ptrdiff_t>(encoded.fixed_tokens);
    encoded.tokens.erase(first, first + static_cast<std::ptrdiff_t>(dropped));
  }
  const std::size_t trunk = encoded.tokens.size();
  TokenTree tree{encoded.tokens, {}};
  counts.records = 1;
  counts.unique_tokens = trunk;
  counts.attention_pairs = trunk * (trunk + 1) / 2;
  for (auto& answer : answers) {
    if (answer.size() > fit.response_tokens) {
      ++counts.truncated_responses;
      counts.dropped_response_tokens += answer.size() - fit.response_tokens;
      answer.resize(fit.response_tokens);
    }
    tree.branches.emplace_back(answer);
    ++counts.responses;
    counts.tokens += trunk + answer.size();
    counts.unique_tokens += answer.size();
    counts.attention_pairs += answer.size() * trunk + answer.size() * (answer.size() + 1) / 2;
  }

  const std::size_t d = backbone_.identity().dimension;
  // Sums in double: the mean of some hundred states keeps float's precision whatever their order of magnitude.
  Matrix<double> sums(answers.size(), d);
  std::vector<double> trunk_sum(d);
  const bool mean = settings_.pooling == Pooling::Mean;
  evaluator_.evaluate(tree, [&](int branch, std::size_t position, std::span<const float> state) {
    if (branch == kTrunk && (!mean || settings_.over == PoolOver::Response)) return;
    if (!mean && position + 1 != trunk + answers[static_cast<std::size_t>(branch)].size()) return;
    const std::span<double> to = branch == kTrunk ? std::span(trunk_sum) : sums.row(static_cast<std::size_t>(branch));
    for (std::size_t j = 0; j < d; ++j) to[j] += static_cast<double>(state[j]);
  });

  Matrix<float> features(answers.size(), d);
  for (std::size_t k = 0; k < answers.size(); ++k) {
    // trunk_sum is zero unless the prompt takes part.
    const std::size_t pooled = answers[k].size() + (settings_.over == PoolOver::All ? trunk : 0);
    const double count = mean ? static_cast<double>(pooled) : 1;
    for (std::size_t j = 0; j < d; ++j) {
      const double value = (sums(k, j) + trunk_sum[j]) / count;
      if (!std::isfinite(value)) {
        throw Error(ErrorCode::BadInput,
                    fmt::format("the model's hidden states of response {} are not finite (column {})", k + 1, j),
                    "the model file is damaged or its weights overflow; try another quantisation of it");
      }
      features(k, j) = static_cast<float>(value);
    }
  }
  counts_ += counts;
  return features;
}

double evaluation_flops(const BackboneIdentity& backbone, const FeatureCounts& counts) {
  return 2.0 * static_cast<double>(backbone.active_parameters) * static_cast<double>(counts.unique_tokens) +
         4.0 * static_cast<double>(backbone.layers) * static_cast<double>(backbone.attention_width) *
             static_cast<double>(counts.attention_pairs);
}

}  // namespace coala
