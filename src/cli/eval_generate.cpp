#include "cli/eval_generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "cli/check_options.h"
#include "cli/prompts.h"
#include "cli/reply_output.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/resources.h"
#include "core/shortened.h"
#include "decode/diversity.h"
#include "decode/parallel_generator.h"
#include "decode/token_tilt.h"
#include "eval/intervals.h"
#include "extract/encoded_record.h"
#include "judge/judge.h"
#include "judge/win_rate.h"
#include "report/frontier.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// Replies to all prompts, written in one way.
struct Texts {
  std::vector<Reply> replies;
  JudgedTexts judged;
  double perplexity = 0;      ///< under the unguided model
  double divergence = 0;      ///< from it, nats per token
  std::vector<bool> outside;  ///< of the replies, those beyond what the model can write
};

/// The same, but what is outside loses against what is not, whatever the judge says.
JudgedTexts guarded(const Texts& texts) {
  JudgedTexts judged = texts.judged;
  for (std::size_t i = 0; i < texts.replies.size(); ++i) {
    if (texts.outside[i]) judged.scores[i] = std::numeric_limits<double>::lowest();
  }
  return judged;
}

/// What all of the ways of writing share.
class Trial {
 public:
  Trial(const Backbone& backbone, const GenerationSettings& settings, std::vector<PromptRecord> records,
        std::vector<EncodedPrompt> prompts, Judge& judge, int threads)
      : backbone_(backbone),
        settings_(settings),
        records_(std::move(records)),
        prompts_(std::move(prompts)),
        judge_(judge),
        threads_(threads) {
    for (const EncodedPrompt& prompt : prompts_) {
      const auto* bytes = reinterpret_cast<const char*>(prompt.tokens.data());
      clusters_.push_back(static_cast<std::int64_t>(hash64({bytes, prompt.tokens.size() * sizeof(Token)}) >> 1));
    }
  }

  Texts write(const std::string& name, const GenerationSettings& settings) const {
    Texts texts;
    Progress progress(name, prompts_.size(), "prompts");
    ParallelGenerator generator(backbone_, settings, prompts_, threads_);
    generator.generate([&](std::size_t, std::vector<Reply>&& candidates) {
      texts.replies.push_back(std::move(candidates[best_of(candidates)]));
      progress.advance(1);
    });
    std::vector<ReplyToJudge> to_judge;
    double log_probability = 0;
    double tokens = 0;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      const Reply& reply = texts.replies[i];
      to_judge.push_back({records_[i].id, &records_[i].prompt, reply.text});
      texts.judged.length.push_back(code_points(reply.text));
      log_probability += reply.log_probability;
      tokens += static_cast<double>(reply.log_probability_tokens);
      texts.divergence += reply.divergence;
      texts.outside.push_back(is_outside(reply));
    }
    texts.divergence /= tokens;
    texts.judged.scores = judge_.scores(to_judge);
    texts.perplexity = std::exp(-log_probability / tokens);
    return texts;
  }

  /// Every reply with what the judge says, a line each.
  std::string lines(const std::string& way, std::optional<double> scale, const Texts& texts, const Head& head) const {
    std::string lines;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      Json line = reply_line(records_[i], texts.replies[i], &head, 0, 0);
      line["guidance"] = way;
      if (scale) line["scale"] = *scale;
      line["judge"] = texts.judged.scores[i];
      line["outside"] = static_cast<bool>(texts.outside[i]);
      lines += one_line(line);
    }
    return lines;
  }

  /// What a way of writing answers to the first prompts, for people.
  std::vector<ShownReply> shown(const Texts& texts) const {
    constexpr std::size_t kShown = 2;
    std::vector<ShownReply> list;
    for (std::size_t i = 0; i < std::min(kShown, records_.size()); ++i) {
      list.push_back({records_[i].id, texts.replies[i].text, texts.judged.scores[i]});
    }
    return list;
  }

  /// @param unguided  that they are compared with, or null
  WrittenMetrics figures(const Texts& texts, const Texts* unguided) const {
    WrittenMetrics metrics;
    std::vector<std::vector<Token>> tokens;
    for (std::size_t i = 0; i < texts.replies.size(); ++i) {
      tokens.push_back(texts.replies[i].tokens);
      metrics.length_mean += static_cast<double>(texts.judged.length[i]) / static_cast<double>(texts.replies.size());
    }
    for (const double score : texts.judged.scores) {
      metrics.judge_mean += score / static_cast<double>(texts.judged.scores.size());
    }
    metrics.judge_mean_ci95 = bootstrap_mean(texts.judged.scores, clusters_, settings_.seed);
    metrics.perplexity = texts.perplexity;
    metrics.divergence = texts.divergence;
    metrics.outside =
        static_cast<double>(std::ranges::count(texts.outside, true)) / static_cast<double>(texts.outside.size());
    const Diversity varied = diversity(tokens);
    metrics.distinct_1 = varied.distinct_1;
    metrics.distinct_2 = varied.distinct_2;
    metrics.repetition = varied.repetition;
    metrics.shown = shown(texts);
    if (unguided == nullptr) return metrics;
    const WinRate wins = win_rate(guarded(texts), guarded(*unguided), clusters_);
    metrics.wins = {{wins.rate, wins.ci95},
                    wins.ties,
                    {wins.length_controlled, wins.length_controlled_ci95},
                    texts.perplexity / unguided->perplexity};
    return metrics;
  }

 private:
  const Backbone& backbone_;
  const GenerationSettings& settings_;
  std::vector<PromptRecord> records_;
  std::vector<EncodedPrompt> prompts_;
  Judge& judge_;
  int threads_;
  std::vector<std::int64_t> clusters_;  ///< the same prompt, the same number
};

/// The beginning of a reply, its line breaks as spaces.
std::string on_one_line(std::string text) {
  constexpr std::size_t kShown_bytes = 160;
  std::ranges::replace(text, '\n', ' ');
  return shortened(text, kShown_bytes);
}

std::unique_ptr<Judge> make_judge(const GeneratedEvalOptions& options, const Head& guiding, const Backbone& backbone,
                                  const ModelInput& input, int threads) {
  if (!options.judge_command.empty())
    return std::make_unique<CommandJudge>(options.judge_command, options.judge_seconds);
  Head head = load_head(options.judge_head);
  check_independent(head, options.judge_head, guiding);
  const FeatureSettings features = check_model(head, options.judge_head, backbone, input.model, input.allow_unbound);
  return std::make_unique<HeadJudge>(std::move(head), "the head " + options.judge_head, hash_file(options.judge_head),
                                     backbone, features, threads);
}

void check(const GeneratedEvalOptions& options, const ModelInput& input) {
  if (input.model.model.empty() || input.data.names.empty()) {
    throw Error(ErrorCode::BadUsage, "--generate writes replies, so it needs a model and prompts",
                "name them with --model and --data");
  }
  if (options.judge_head.empty() == options.judge_command.empty()) {
    throw Error(ErrorCode::BadUsage, "replies are judged by somebody who is not the guiding head",
                "name either another head, trained on other data (--judge-head), or a program (--judge-command)");
  }
}

}  // namespace

void add_generated_eval_options(CLI::App& command, GeneratedEvalOptions& options) {
  const std::vector<CLI::Option*> others = command.get_options();
  CLI::Option* const generate =
      command.add_flag("--generate", options.generate,
                       "write replies to the prompts of --data, guided and not, and have them compared by a judge");
  command.add_option("--guidance", options.guidance, "ways of guiding, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"token", "bias", "branch", "sentence", "best-of-n"}))
      ->capture_default_str();
  command.add_option("--guidance-scale", options.scales, "their strengths, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--judge-head", options.judge_head, "a head trained on other data")->type_name(kInput);
  command.add_option("--judge-command", options.judge_command,
                     "a program that reads {\"id\", \"prompt\", \"response\"} a line and writes "
                     "{\"score\"} a line");
  command.add_option("--judge-seconds", options.judge_seconds, "with --judge-command: that it may take a reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--out", options.out, "file for all judged replies, a JSON line each")->type_name(kOutput);
  command.add_option("--figure", options.figure, "an SVG of score against perplexity")->type_name(kOutput);
  command.add_option("-n,--max-tokens", options.generation.settings.max_tokens, "longest reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--num-candidates", options.generation.num_candidates, "as in `coala generate`")
      ->check(CLI::Range(1, 256));
  add_sampling_options(command, options.generation);
  for (CLI::Option* option : command.get_options()) {
    if (option != generate && std::ranges::find(others, option) == others.end()) option->needs(generate);
  }
}

GeneratedMetrics evaluate_generated(GeneratedEvalOptions& options, const std::string& head_path,
                                    const ModelInput& input, const CommonOptions& common, const CLI::App& command) {
  check(options, input);
  const Head head = load_head(head_path);
  for (const std::string& way : options.guidance) guidance_named(way, &head);  // before anything is generated
  std::vector<PromptRecord> records = read_prompts(input.data.files());
  const Backbone backbone(input.model.file());
  const FeatureSettings features = check_model(head, head_path, backbone, input.model, input.allow_unbound);
  const int threads = chosen_threads(common);
  const std::unique_ptr<Judge> judge = make_judge(options, head, backbone, input, threads);
  show_warnings(backbone, features.template_mode);
  std::vector<EncodedPrompt> prompts =
      encode_prompts(backbone, records, {features.template_mode, options.generation.thinking()}, input.data.skip_bad);

  GenerationOptions& generation = options.generation;
  generation.settings.seed = common.seed;
  complete_settings(generation, Guidance::None, command);
  bind_to_model(generation, Guidance::None, backbone, nullptr);
  const GenerationSettings plain = generation.settings;
  const Trial trial(backbone, plain, std::move(records), std::move(prompts), *judge, threads);
  const Texts unguided = trial.write("unguided", plain);
  GeneratedMetrics result{judge->name(), head_path, unguided.replies.size(), trial.figures(unguided, nullptr), {}, 0};
  std::string lines;
  if (!options.out.empty()) lines = trial.lines("none", std::nullopt, unguided, head);
  std::vector<FrontierCurve> curves{{"unguided", {{0, unguided.perplexity, result.unguided.judge_mean}}}};
  for (const std::string& way : options.guidance) {
    curves.push_back({way, {}});
    const Guidance guidance = guidance_named(way, &head);
    const bool has_scale = takes_scale(guidance);
    const std::vector<double> scales = has_scale ? options.scales : std::vector<double>{1};
    for (const double scale : scales) {
      generation.scale = scale;
      generation.settings = plain;
      set_guidance(generation, guidance, backbone, head);
      if (guidance == Guidance::Branch || guidance == Guidance::Sentence || generation.settings.candidates > 1) {
        generation.settings.reward = {&head, features};
      }
      const std::string name = has_scale ? fmt::format("{} {:g}", way, scale) : way;
      const Texts texts = trial.write(name, generation.settings);
      const std::optional<double> own_scale = has_scale ? std::optional(scale) : std::nullopt;
      result.runs.push_back({way, own_scale, trial.figures(texts, &unguided)});
      curves.back().points.push_back({scale, texts.perplexity, result.runs.back().written.judge_mean});
      if (!options.out.empty()) lines += trial.lines(way, own_scale, texts, head);
    }
  }
  if (!options.out.empty()) write_file(options.out, lines);
  if (!options.figure.empty()) write_file(options.figure, frontier_svg(curves, judge->name()));
  result.peak_rss_bytes = peak_rss_bytes();
  return result;
}

std::string generated_summary(const GeneratedMetrics& result) {
  std::string text = fmt::format("{} prompts, judged by {} (not by the guiding head)\n", result.prompts, result.judge);
  text += fmt::format("  {:<16} {:>8}  {:<22} {:<22} {:>10}  {:>8}  {:>6}  {:>7}\n", "", "judge", "wins over unguided",
                      "at equal lengths", "perplexity", "distinct", "repeat", "outside");
  const auto rate = [](const Estimate& share) {
    const std::string value = fmt::format("{:.1f} %", 100 * share.value);
    if (!share.ci95.is_known()) return value;
    return fmt::format("{} [{:.1f}, {:.1f}]", value, 100 * share.ci95.low, 100 * share.ci95.high);
  };
  const auto line = [&](const std::string& name, const WrittenMetrics& written) {
    text += fmt::format("  {:<16} {:8.3f}  {:<22} {:<22} {:10.3f}  {:8.3f}  {:6.3f}  {:5.0f} %\n", name,
                        written.judge_mean, written.wins ? rate(written.wins->rate) : "",
                        written.wins ? rate(written.wins->length_controlled) : "", written.perplexity,
                        written.distinct_2, written.repetition, 100 * written.outside);
  };
  const auto name_of_run = [](const GuidedRun& run) {
    return run.scale ? fmt::format("{} {:g}", run.guidance, *run.scale) : run.guidance;
  };
  line("unguided", result.unguided);
  for (const GuidedRun& run : result.runs) line(name_of_run(run), run.written);
  text +=
      "outside: replies beyond what the model can write (moved too far, too surprising to it, or repeating itself); "
      "they lose, whatever the judge says\n";
  const auto show = [&](const std::string& name, const ShownReply& reply) {
    text += fmt::format("  {:<16} {}\n", name, on_one_line(reply.text));
  };
  for (std::size_t i = 0; i < result.unguided.shown.size(); ++i) {
    text += fmt::format("replies to record {}\n", result.unguided.shown[i].id);
    show("unguided", result.unguided.shown[i]);
    for (const GuidedRun& run : result.runs) show(name_of_run(run), run.written.shown[i]);
  }
  return text;
}

}  // namespace coala
