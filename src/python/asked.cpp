#include "python/asked.h"

#include <fmt/format.h>
#include <pybind11/stl.h>

#include "coala/error.h"
#include "decode/guidance.h"
#include "python/keywords.h"
#include "python/own_settings.h"
#include "python/records.h"

namespace coala::python {
namespace {

Guidance guidance_of(const std::optional<Guidance>& asked, const py::list& heads) {
  if (heads.empty()) {
    if (asked.value_or(Guidance::None) == Guidance::None) return Guidance::None;
    throw Error(ErrorCode::BadUsage,
                fmt::format("the guidance {} goes by a head, and there is none", guidance_name(*asked)),
                "give head=, or heads=");
  }
  if (asked) return *asked;
  const auto first = heads[0].cast<py::tuple>()[0].cast<v1::Head>();
  return first.has_token_head() ? Guidance::EachToken : Guidance::BestOfN;
}

/// What is said of branches goes with them alone, but for what all ways of guiding have.
bool goes_with(const Setting& setting, Guidance guidance) {
  if (guidance == Guidance::Branch) return true;
  if (setting.has_option) return false;
  if (setting.name == "scale") return takes_scale(guidance);
  return guidance == Guidance::BestOfN || guidance == Guidance::Sentence;
}

void check_keywords(const py::dict& keywords, Guidance guidance) {
  const BranchSettings standard;
  for_each_setting(standard, [&](const Setting& setting, const auto&) {
    const std::string keyword = keyword_of(setting);
    if (!keywords.contains(keyword.c_str()) || goes_with(setting, guidance)) return;
    throw Error(ErrorCode::BadUsage,
                fmt::format("{} does not go with the guidance {}", keyword, guidance_name(guidance)));
  });
}

}  // namespace

AskedReplies asked_replies(const v1::Model& model, const py::object& prompt, const py::list& heads,
                           const std::vector<std::string>& stops, const std::map<std::int32_t, double>& logit_bias,
                           const py::dict& keywords) {
  const auto own = settings_of<ReplyKeywords>(keywords);
  AskedReplies asked{model, {}, {settings_of<SamplerOptions>(keywords), settings_of<BranchSettings>(keywords)}};
  v1::Request& request = asked.request;
  request.prompt = prompt_of(prompt);
  request.max_tokens = own.max_tokens;
  request.samples = settings_of<SampleKeywords>(keywords).samples.value_or(1);
  request.seed = own.seed;
  request.stops = stops;
  request.grammar = own.grammar;
  request.thinking = own.thinking;
  request.template_mode = own.template_mode;
  request.allow_unbound = own.allow_unbound;
  request.guidance = guidance_of(own.guidance, heads);
  check_keywords(keywords, request.guidance);
  const bool scaled = request.guidance == Guidance::Branch || keywords.contains("guidance_scale");
  for (const py::handle entry : heads) {
    const auto [head, scale] = entry.cast<std::pair<v1::Head, std::optional<double>>>();
    request.heads.push_back({head, scale.value_or(scaled ? asked.settings.branch.scale : 1)});
  }
  if (keywords.contains("num_candidates")) request.candidates = asked.settings.branch.candidates;
  asked.settings.sampling.logit_bias = logit_bias;
  return asked;
}

}  // namespace coala::python
