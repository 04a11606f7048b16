#include "api_lm/request.h"

#include <fmt/format.h>

#include "api_lm/layer_settings.h"
#include "api_lm/state.h"
#include "coala/error.h"
#include "decode/head_model.h"
#include "decode/tilt_mixture.h"
#include "decode/token_tilt.h"

namespace coala::v1 {
namespace {

/// How many heads a guidance takes.
void check_heads(const Request& request) {
  const std::size_t heads = request.heads.size();
  const bool token = goes_by_token(request.guidance);
  const std::size_t least = request.guidance == Guidance::None ? 0 : 1;
  if (heads < least || (heads > least && !token)) {
    throw Error(ErrorCode::BadUsage, fmt::format("Request::heads has {} entries; the guidance takes {}{}", heads, least,
                                                 token ? " or more" : ""));
  }
  for (const GuidingHead& guide : request.heads) {
    if (guide.scale >= -1e6 && guide.scale <= 1e6) continue;
    throw Error(ErrorCode::BadUsage,
                fmt::format("GuidingHead::scale is {}; expected -1000000 to 1000000", guide.scale));
  }
}

void check_counts(const Request& request, bool chooses) {
  constexpr int kMost = 256;
  if (request.samples < 1 || request.samples > kMost) {
    throw Error(ErrorCode::BadUsage, fmt::format("Request::samples is {}; expected 1 to {}", request.samples, kMost));
  }
  if (request.candidates && (*request.candidates < 1 || *request.candidates > kMost)) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("Request::candidates is {}; expected 1 to {}", *request.candidates, kMost));
  }
  if (request.candidates && (request.guidance == Guidance::None || goes_by_token(request.guidance))) {
    throw Error(ErrorCode::BadUsage, "Request::candidates is set, and the guidance has none to choose from",
                "use the guidance BestOfN, or Request::samples");
  }
  if (chooses && request.samples > 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("Request::samples is {}, and the best of several is to be kept", request.samples),
                "ask several times, with other seeds");
  }
  if (request.on_text && (request.samples > 1 || chooses)) {
    throw Error(ErrorCode::BadUsage, "Request::on_text is set, and what is written may still be dropped",
                "ask for one sample, and not for the best of several");
  }
}

void check_biases(const SamplerOptions& sampling, const Tokenizer& tokenizer) {
  for (const auto& [token, bias] : sampling.logit_bias) {
    if (token >= 0 && static_cast<std::size_t>(token) < tokenizer.size()) continue;
    throw Error(ErrorCode::BadUsage,
                fmt::format("Sampling::logit_bias is for token {}; the vocabulary has {}", token, tokenizer.size()));
  }
}

/// The settings that the heads' features were made with, of which templates must agree.
std::optional<coala::FeatureSettings> settings_of_heads(const Request& request, const Backbone& backbone) {
  std::optional<coala::FeatureSettings> settings;
  for (const GuidingHead& guide : request.heads) {
    const Head::State& head = guide.head.state();
    const coala::FeatureSettings own =
        settings_for_head(head.head, head.path, backbone, request.template_mode, request.allow_unbound);
    if (settings && settings->template_mode != own.template_mode) {
      throw Error(ErrorCode::BadUsage,
                  fmt::format("{} was trained with another template than the heads before it", head.path.string()),
                  "let them guide apart");
    }
    settings = own;
  }
  return settings;
}

Finish finish_of(coala::Finish finish) {
  switch (finish) {
    case coala::Finish::Stop:
      return Finish::Stop;
    case coala::Finish::Length:
      return Finish::Length;
    case coala::Finish::Context:
      return Finish::Context;
  }
  throw Error(ErrorCode::Internal, "a reply that has ended in no known way");
}

}  // namespace

RequestSettings internal_settings(const Request& request) {
  const Sampling& sampling = request.sampling;
  RequestSettings settings;
  settings.sampling = {.temperature = sampling.temperature,
                       .top_p = sampling.top_p,
                       .top_k = sampling.top_k,
                       .min_p = sampling.min_p,
                       .repeat_penalty = sampling.repeat_penalty,
                       .presence_penalty = sampling.presence_penalty,
                       .frequency_penalty = sampling.frequency_penalty,
                       .repeat_last_tokens = sampling.repeat_last_tokens,
                       .logit_bias = sampling.logit_bias};
  check_settings(settings.sampling, "Sampling::");
  settings.branch.every = request.guide_every;
  return settings;
}

const LogitsProcessor& TiltTable::tilt(const Head& head, Guidance guidance) {
  const auto key = std::pair(&head.state(), guidance);
  const auto found = entries_.find(key);
  if (found != entries_.end()) return *found->second.tilt;
  const coala::Head& own = head.state().head;
  if (!own.token) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("{} has no token head, which guides every token", head.state().path.string()),
                "train one with align()");
  }
  if (!output_) output_ = std::make_unique<OutputMatrix>(backbone_);
  std::unique_ptr<LogitsProcessor> tilt;
  if (guidance == Guidance::EachToken) {
    tilt = std::make_unique<TokenTilt>(*own.token, *output_, 1.0);
  } else {
    tilt = std::make_unique<BiasTilt>(*own.token, *output_, 1.0);
  }
  return *entries_.emplace(key, Entry{head, std::move(tilt)}).first->second.tilt;
}

std::shared_ptr<PreparedRequest> prepare(const Request& request, const RequestSettings& own, const Backbone& backbone,
                                         TiltTable& tilts) {
  GuidanceOptions options{.guidance = request.guidance, .candidates = request.candidates, .branch = own.branch};
  check_heads(request);
  check_counts(request, coala::chooses_best(options));
  auto prepared = std::make_shared<PreparedRequest>();
  prepared->heads = request.heads;
  prepared->chooses_best = coala::chooses_best(options);
  GenerationSettings& settings = prepared->settings;
  settings.max_tokens = request.max_tokens;
  settings.replies = request.samples;
  check_biases(own.sampling, backbone.tokenizer());
  settings.sampling = own.sampling;
  settings.seed = request.seed;
  settings.stops = request.stops;

  const std::optional<coala::FeatureSettings> features = settings_of_heads(request, backbone);
  if (goes_by_token(request.guidance)) {
    std::vector<TiltMixture::Part> parts;
    for (const GuidingHead& guide : request.heads) {
      parts.emplace_back(&tilts.tilt(guide.head, request.guidance), guide.scale);
    }
    prepared->tilt = std::make_unique<TiltMixture>(std::move(parts));
    settings.tilt = prepared->tilt.get();
  } else if (!request.heads.empty()) {
    const coala::Head& head = prepared->heads.front().head.state().head;
    settings.reward = {&head, *features};
    if (request.guidance == Guidance::Branch) options.scale = request.heads.front().scale;
    coala::guide(settings, options, backbone, head);
  }
  if (!request.grammar.empty()) {
    prepared->grammar = std::make_unique<Grammar>(backbone.tokenizer(), request.grammar, "Request::grammar");
    settings.grammar = prepared->grammar.get();
  }
  settings.validate();
  const TemplateMode mode = features ? features->template_mode : request.template_mode.value_or(TemplateMode::Model);
  prepared->prompt = backbone.encode_prompt(request.prompt, mode, request.thinking ? Thinking::On : Thinking::Off);
  return prepared;
}

std::vector<Reply> chosen_replies(const PreparedRequest& request, std::vector<coala::Reply>&& written) {
  if (request.chooses_best) {
    coala::Reply best = std::move(written[best_of(written)]);
    written.clear();
    written.push_back(std::move(best));
  }
  std::vector<Reply> replies;
  for (coala::Reply& reply : written) {
    replies.push_back({.text = std::move(reply.text),
                       .reasoning = std::move(reply.reasoning),
                       .finish = finish_of(reply.finish),
                       .tokens = reply.tokens.size(),
                       .log_probability = reply.log_probability,
                       .divergence = reply.divergence,
                       .score = reply.score});
  }
  return replies;
}

}  // namespace coala::v1
