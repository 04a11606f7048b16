#include "decode/guidance.h"

#include <algorithm>

#include "core/error.h"
#include "decode/token_tilt.h"
#include "head/guiding_head.h"

namespace coala {

const std::map<std::string, Guidance>& guidance_names() {
  static const std::map<std::string, Guidance> names{{"none", Guidance::None},       {"best-of-n", Guidance::BestOfN},
                                                     {"branch", Guidance::Branch},   {"sentence", Guidance::Sentence},
                                                     {"token", Guidance::EachToken}, {"bias", Guidance::Bias}};
  return names;
}

const std::string& guidance_name(Guidance guidance) {
  const auto& names = guidance_names();
  return std::ranges::find(names, guidance, &std::pair<const std::string, Guidance>::second)->first;
}

bool goes_by_token(Guidance guidance) {
  return guidance == Guidance::EachToken || guidance == Guidance::Bias;
}

bool takes_scale(Guidance guidance) {
  return guidance == Guidance::Branch || goes_by_token(guidance);
}

bool chooses_best(const GuidanceOptions& options) {
  return options.guidance == Guidance::BestOfN ||
         (goes_by_token(options.guidance) && options.candidates.value_or(1) > 1);
}

void set_choices(GenerationSettings& settings, const GuidanceOptions& options) {
  if (settings.reward && (chooses_best(options) || !goes_by_token(options.guidance)))
    check_scores(*settings.reward->head);
  if (chooses_best(options)) settings.replies = options.candidates.value_or(kBestOf);
  if (options.guidance == Guidance::Sentence) settings.continuations = options.candidates.value_or(kBestOf);
  if (options.guidance == Guidance::Branch) {
    settings.branch = options.branch;
    if (options.scale) settings.branch->scale = *options.scale;
    if (options.candidates) settings.branch->candidates = *options.candidates;
  }
}

std::unique_ptr<LogitsProcessor> guide(GenerationSettings& settings, const GuidanceOptions& options,
                                       const Backbone& backbone, const Head& head) {
  set_choices(settings, options);
  settings.tilt = nullptr;
  if (!goes_by_token(options.guidance)) return nullptr;
  if (!head.token) {
    throw Error(ErrorCode::BadUsage, "guidance of every token needs a token head, and the head has none",
                "train one with `coala align`, or with `coala train --token-head` on features of --token-rank 32");
  }
  const OutputMatrix output(backbone);
  std::unique_ptr<LogitsProcessor> tilt;
  if (options.guidance == Guidance::EachToken) {
    tilt = std::make_unique<TokenTilt>(*head.token, output, options.token_scale());
  } else {
    tilt = std::make_unique<BiasTilt>(*head.token, output, options.token_scale());
  }
  settings.tilt = tilt.get();
  return tilt;
}

}  // namespace coala
