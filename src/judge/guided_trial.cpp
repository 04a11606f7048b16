#include "judge/guided_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "core/hash.h"
#include "core/progress.h"
#include "core/resources.h"
#include "decode/diversity.h"
#include "decode/parallel_generator.h"
#include "decode/reply_lines.h"
#include "eval/intervals.h"
#include "extract/encoded_record.h"
#include "judge/win_rate.h"

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
  Trial(const Backbone& backbone, const TrialPrompts& prompts, Judge& judge, std::uint64_t seed, int threads)
      : backbone_(backbone),
        records_(prompts.records),
        prompts_(prompts.encoded),
        judge_(judge),
        seed_(seed),
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
    generator.generate([&](std::size_t, std::vector<Reply>&& replies) {
      texts.replies.push_back(std::move(replies[best_of(replies)]));
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
    metrics.judge_mean_ci95 = bootstrap_mean(texts.judged.scores, clusters_, seed_);
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
  const std::vector<PromptRecord>& records_;
  const std::vector<EncodedPrompt>& prompts_;
  Judge& judge_;
  std::uint64_t seed_;
  int threads_;
  std::vector<std::int64_t> clusters_;  ///< the same prompt, the same number
};

/// Whether the head looks at texts, and not at tokens alone.
bool scores_texts(Guidance guidance, const GenerationSettings& settings) {
  return guidance == Guidance::Branch || guidance == Guidance::Sentence || settings.replies > 1;
}

}  // namespace

GuidedTrial try_guidance(const Backbone& backbone, const Head& head, const TrialPrompts& prompts, Judge& judge,
                         const TrialSettings& settings) {
  const Trial trial(backbone, prompts, judge, settings.plain.seed, settings.threads);
  const Texts unguided = trial.write("unguided", settings.plain);
  GuidedTrial result;
  result.metrics.judge = judge.name();
  result.metrics.prompts = unguided.replies.size();
  result.metrics.unguided = trial.figures(unguided, nullptr);
  result.lines = trial.lines("none", std::nullopt, unguided, head);
  for (const Guidance guidance : settings.ways) {
    const std::string& way = guidance_name(guidance);
    const bool has_scale = takes_scale(guidance);
    for (const double scale : has_scale ? settings.scales : std::vector<double>{1}) {
      GenerationSettings guided = settings.plain;
      const std::unique_ptr<LogitsProcessor> tilt =
          guide(guided, {guidance, scale, settings.candidates, settings.branch}, backbone, head);
      if (scores_texts(guidance, guided)) guided.reward = {&head, settings.features};
      const Texts texts = trial.write(has_scale ? fmt::format("{} {:g}", way, scale) : way, guided);
      const std::optional<double> own_scale = has_scale ? std::optional(scale) : std::nullopt;
      result.metrics.runs.push_back({way, own_scale, trial.figures(texts, &unguided)});
      result.lines += trial.lines(way, own_scale, texts, head);
    }
  }
  result.metrics.peak_rss_bytes = peak_rss_bytes();
  return result;
}

}  // namespace coala
