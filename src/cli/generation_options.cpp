#include "cli/generation_options.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/setting_json.h"
#include "terminal/path_kinds.h"
#include "terminal/setting_options.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// "TOKEN+VALUE" or "TOKEN-VALUE"; the value may be inf.
std::pair<Token, double> parse_bias(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const long token = std::strtol(text.c_str(), &end, 10);
  const char* const sign = end;
  const bool named = sign != text.c_str() && errno == 0 && token >= 0 && token <= std::numeric_limits<Token>::max();
  const double value = named && (*sign == '+' || *sign == '-') ? std::strtod(sign, &end) : 0;
  if (end <= sign + 1 || *end != '\0' || std::isnan(value)) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("--logit-bias {}: expected a token's number, a sign and a value", text),
                "for example 15043+1.5, or 15043-inf to rule the token out");
  }
  return {static_cast<Token>(token), value};
}

void add_guidance_options(CLI::App& command, GenerationOptions& options) {
  std::vector<std::string> names;
  for (const auto& [name, guidance] : guidance_names()) names.push_back(name);
  command
      .add_option("--guidance", options.guidance,
                  "none: as the model writes; token: every token by the token head; best-of-n: the candidate that the "
                  "head likes best; sentence: the same sentence by sentence; branch: every few tokens the head's "
                  "opinion of the next one; bias: token without "
                  "context. Default: none without --head, token where the head has a token head, else best-of-n")
      ->check(CLI::IsMember(names));
  command
      .add_option("--guidance-scale", options.scale,
                  fmt::format("times which a score is added to its token's logit, 0: not at all; default: 1 for token "
                              "and bias, {} for branch",
                              BranchSettings{}.scale))
      ->check(CLI::Range(-1e6, 1e6));
  command
      .add_option(
          "--num-candidates", options.num_candidates,
          fmt::format("best-of-n, token, bias: replies to choose from, {} by default for best-of-n, 1 for the others; "
                      "sentence: ways to go on, {} by default; branch: tokens to score, {} by default",
                      kBestOf, kBestOf, BranchSettings{}.candidates))
      ->check(CLI::Range(1, 256));
  add_setting_options(command, options.branch);
  command.add_option("--guidance-preset", options.preset, "published: the rule of the published program")
      ->check(CLI::IsMember({"published"}));
  command.add_option("--samples", options.samples, "independent replies to each prompt, without best-of-n")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

/// What the published program does, wherever the command does not say otherwise.
void apply_published_preset(GenerationOptions& options, const CLI::App& command) {
  const auto set = [&](const char* option, auto& value, auto published) {
    if (command.count(option) == 0) value = published;
  };
  SamplerOptions& sampling = options.settings.sampling;
  sampling.published_order = true;
  set("--temperature", sampling.temperature, 0.7);
  set("--top-p", sampling.top_p, 0.9);
  set("--top-k", sampling.top_k, 0);
  set("--repeat-penalty", sampling.repeat_penalty, 1.1);
  set("--guidance-scale", options.branch.scale, 2.0);
  set("--guide-every", options.branch.every, 6);
  set("--num-candidates", options.branch.candidates, 15);
  set("--guide-top-p", options.branch.top_p, 1.0);
  options.branch.score_all = true;  // its filters come behind the scores
}

}  // namespace

void add_sampling_options(CLI::App& command, GenerationOptions& options) {
  command.add_flag("--thinking", options.thinks,
                   "let a model think before it answers, where its template knows that; else the prompt ends behind "
                   "thoughts that are empty");
  add_setting_options(command, options.settings.sampling);
  command
      .add_option("--logit-bias", options.logit_bias,
                  "TOKEN+VALUE or TOKEN-VALUE, added to the token's logit; repeatable")
      ->allow_extra_args(false);
  command.add_flag("--ignore-eos", options.ignore_end, "never end a reply before --max-tokens");
  command.add_option("--stop", options.settings.stops, "a text that a reply ends before; repeatable")
      ->allow_extra_args(false);
  command.add_option("--grammar-file", options.grammar_file, "grammar (GBNF) that replies conform to")
      ->type_name(kInput);
}

void add_generation_options(CLI::App& command, GenerationOptions& options) {
  command.add_option("-n,--max-tokens", options.settings.max_tokens, "longest reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_guidance_options(command, options);
  add_sampling_options(command, options);
}

bool chooses_best(const GenerationOptions& options, Guidance guidance) {
  return chooses_best({guidance, options.scale, options.num_candidates, options.branch});
}

Guidance guidance_named(const std::string& name, const Head* head) {
  const Guidance guidance = guidance_names().at(name);
  if (goes_by_token(guidance) && head != nullptr && !head->token) {
    throw Error(ErrorCode::BadUsage, fmt::format("--guidance {} needs a token head, and the head file has none", name),
                "train one with `coala align`, or with `coala train --token-head` on features of --token-rank 32");
  }
  return guidance;
}

Guidance guidance_of(const GenerationOptions& options, const CLI::App& command, const Head* head) {
  const Guidance standard = head == nullptr ? Guidance::None : head->token ? Guidance::EachToken : Guidance::BestOfN;
  const Guidance guidance = options.guidance.empty() ? standard : guidance_named(options.guidance, head);
  const std::string name = guidance_name(guidance);
  if (guidance != Guidance::None && head == nullptr) {
    throw Error(ErrorCode::BadUsage, fmt::format("--guidance {} goes by a head's score, and there is none", name),
                "name a head file with --head, or use --guidance none");
  }
  if (chooses_best(options, guidance) && options.samples > 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("--samples {} does not go with the choice of the best of several", options.samples),
                "use --candidates to see more than the best reply, or leave --num-candidates or best-of-n out");
  }
  if (command.count("--guidance-scale") > 0 && !takes_scale(guidance)) {
    throw Error(ErrorCode::BadUsage, fmt::format("--guidance-scale does not go with the guidance {}", name),
                "add --guidance token or branch");
  }
  std::vector<std::string> of_branches{"--guidance-preset"};
  for_each_setting(options.branch, [&](const Setting& setting, const auto&) {
    if (setting.has_option) of_branches.push_back("--" + setting.option_name());
  });
  for (const std::string& option : of_branches) {
    if (guidance == Guidance::Branch || command.count(option) == 0) continue;
    throw Error(ErrorCode::BadUsage, fmt::format("{} does not go with the guidance {}", option, name),
                "add --guidance branch");
  }
  return guidance;
}

void complete_settings(GenerationOptions& options, Guidance guidance, const CLI::App& command) {
  GenerationSettings& settings = options.settings;
  settings.replies = options.samples;
  if (guidance == Guidance::Branch) {
    if (options.scale) options.branch.scale = *options.scale;
    if (!options.preset.empty()) apply_published_preset(options, command);
    check_settings(options.branch);
  }
  for (const std::string& text : options.logit_bias) {
    const auto [token, bias] = parse_bias(text);
    settings.sampling.logit_bias[token] += bias;
  }
  if (options.ignore_end && !options.grammar_file.empty()) {
    throw Error(ErrorCode::BadUsage, "--ignore-eos does not go with --grammar-file",
                "a grammar's text is complete at some point: drop one of the two");
  }
  for (const std::string& stop : settings.stops) {
    if (stop.empty()) throw Error(ErrorCode::BadUsage, "--stop is an empty text");
  }
  settings.sampling.validate();
}

void set_guidance(GenerationOptions& options, Guidance guidance, const Backbone& backbone, const Head& head) {
  options.tilt =
      guide(options.settings, {guidance, options.scale, options.num_candidates, options.branch}, backbone, head);
}

void bind_to_model(GenerationOptions& options, Guidance guidance, const Backbone& backbone, const Head* head) {
  const Tokenizer& tokenizer = backbone.tokenizer();
  SamplerOptions& sampling = options.settings.sampling;
  for (const auto& [token, bias] : sampling.logit_bias) {
    if (static_cast<std::size_t>(token) < tokenizer.size()) continue;
    throw Error(ErrorCode::BadUsage, fmt::format("--logit-bias is for token {}; the vocabulary of {} has {}", token,
                                                 backbone.identity().name, tokenizer.size()));
  }
  for (std::size_t i = 0; options.ignore_end && i < tokenizer.size(); ++i) {
    const auto token = static_cast<Token>(i);
    if (tokenizer.is_end(token)) sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
  }
  if (head != nullptr) set_guidance(options, guidance, backbone, *head);
  if (options.grammar_file.empty()) return;
  constexpr std::size_t kLargestGrammar_bytes = std::size_t{1} << 20;
  options.grammar = std::make_unique<Grammar>(tokenizer, read_file(options.grammar_file, kLargestGrammar_bytes),
                                              options.grammar_file);
  options.settings.grammar = options.grammar.get();
}

Json settings_fields(const GenerationOptions& options, Guidance guidance) {
  const GenerationSettings& settings = options.settings;
  Json fields{{"guidance", guidance_name(guidance)},
              {"candidates", settings.replies},
              {"chooses_best", chooses_best(options, guidance)},  // of as many candidates, one line or all
              {"max_tokens", settings.max_tokens},
              {"seed", settings.seed}};
  fields.update(settings_json(settings.sampling));
  fields.update({{"preset", options.preset},
                 {"logit_bias", options.logit_bias},
                 {"ignore_eos", options.ignore_end},
                 {"thinking", options.thinks},
                 {"stop", settings.stops},
                 {"grammar", options.grammar_file.empty() ? "" : hash_file(options.grammar_file)}});
  if (goes_by_token(guidance)) fields["guidance_scale"] = options.token_scale();
  if (settings.continuations > 0) fields["sentence_candidates"] = settings.continuations;
  if (settings.branch) fields.update(settings_json(*settings.branch));
  return fields;
}

}  // namespace coala
