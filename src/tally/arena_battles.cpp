#include "tally/arena_battles.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "tally/annotations.h"

namespace coala {
namespace {

constexpr int kStrong = 3;  // battles that a strong verdict counts

struct Label {
  std::string_view text;
  ArenaVerdict verdict;
};
constexpr std::array<Label, 10> kLabels{{{"A=B", {0.5, 1}},
                                         {"A>B", {1, 1}},
                                         {"A>>B", {1, kStrong}},
                                         {"B>A", {0, 1}},
                                         {"B>>A", {0, kStrong}},
                                         // v2.0 alone:
                                         {"B=A", {0.5, 1}},
                                         {"B<A", {1, 1}},
                                         {"B<<A", {1, kStrong}},
                                         {"A<B", {0, 1}},
                                         {"A<<B", {0, kStrong}}}};
constexpr std::size_t kLabelsOfV01 = 5;

std::optional<ArenaVerdict> verdict_of_v01(std::string_view label) {
  for (std::size_t k = 0; k < kLabelsOfV01; ++k) {
    if (kLabels[k].text == label) return kLabels[k].verdict;
  }
  return std::nullopt;
}

const Style& style_of(const StyleTable& styles, const std::string& model, const std::string& question) {
  const auto answers = styles.find(model);
  const auto answer =
      answers == styles.end() ? std::map<std::string, Style>::const_iterator() : answers->second.find(question);
  if (answers == styles.end() || answer == answers->second.end()) {
    throw Error(ErrorCode::BadInput, fmt::format("nothing is known of the style of {}'s answer to {}", model, question),
                "name the files of answers, with their metadata, of every model and of the baseline with --answers");
  }
  return answer->second;
}

/// How much more of something the model's answer has, as each version has it.
double relative(const Style& model, const Style& base, std::size_t feature, ArenaVersion version) {
  if (version == ArenaVersion::V01) return (model[feature] - base[feature]) / (model[feature] + base[feature] + 1);
  if (feature == 0) return (model[0] - base[0]) / (model[0] + base[0]);
  const double ours = model[feature] / (model[0] + 1);
  const double theirs = base[feature] / (base[0] + 1);
  return (ours - theirs) / (ours + theirs + 1);
}

}  // namespace

std::optional<ArenaVerdict> verdict_named(std::string_view label) {
  for (const Label& known : kLabels) {
    if (known.text == label) return known.verdict;
  }
  return std::nullopt;
}

ArenaBattles arena_battles(std::span<const ArenaJudgment> judgments, ArenaVersion version) {
  ArenaBattles battles;
  std::set<std::string> names;
  for (const ArenaJudgment& judgment : judgments) names.insert(judgment.model);
  battles.models.assign(names.begin(), names.end());
  const auto add = [&](const ArenaJudgment& judgment, std::size_t game, const ArenaVerdict& verdict) {
    const auto model =
        static_cast<std::size_t>(std::ranges::lower_bound(battles.models, judgment.model) - battles.models.begin());
    for (int k = 0; k < verdict.times; ++k) {
      battles.model.push_back(model);
      battles.question_names.push_back(judgment.question);
      battles.score.push_back(game == 0 ? 1 - verdict.score_of_a : verdict.score_of_a);
    }
  };
  for (const ArenaJudgment& judgment : judgments) {
    if (version == ArenaVersion::V01) {
      for (std::size_t game = 0; game < 2; ++game) {
        const std::optional<ArenaVerdict> verdict = verdict_of_v01(judgment.verdicts[game]);
        if (verdict) add(judgment, game, *verdict);
        if (!verdict) ++battles.without_verdict;
      }
      continue;
    }
    if (judgment.verdicts[0].empty() || judgment.verdicts[1].empty()) {
      ++battles.without_verdict;
      continue;
    }
    for (const std::size_t game : {std::size_t{1}, std::size_t{0}}) {
      const std::optional<ArenaVerdict> verdict = verdict_named(judgment.verdicts[game]);
      if (!verdict) {
        throw Error(ErrorCode::BadInput, fmt::format("the verdict '{}' on {}'s answer to {} is none of Arena-Hard's",
                                                     judgment.verdicts[game], judgment.model, judgment.question));
      }
      add(judgment, game, *verdict);
    }
  }
  if (battles.score.empty()) throw Error(ErrorCode::BadInput, "no judgment has a verdict");
  battles.question = numbered(battles.question_names);
  battles.questions = 1 + static_cast<std::size_t>(*std::ranges::max_element(battles.question));
  for (std::size_t k = 0; k < battles.models.size(); ++k) {
    if (std::ranges::find(battles.model, k) == battles.model.end()) {
      throw Error(ErrorCode::BadInput, fmt::format("no judgment of {} has a verdict", battles.models[k]));
    }
  }
  return battles;
}

Matrix<double> style_features(const ArenaBattles& battles, const StyleTable& styles, const ArenaSettings& settings) {
  static constexpr std::array<const char*, 4> kNames{"length", "headers", "list items", "bold spans"};
  std::vector<std::size_t> chosen;
  if (settings.control.length) chosen.push_back(0);
  if (settings.control.markdown) chosen.insert(chosen.end(), {1, 2, 3});
  const std::size_t n = battles.size();
  Matrix<double> features(n, chosen.size());
  for (std::size_t i = 0; i < n; ++i) {
    const Style& model = style_of(styles, battles.models[battles.model[i]], battles.question_names[i]);
    const Style& base = style_of(styles, settings.baseline, battles.question_names[i]);
    for (std::size_t j = 0; j < chosen.size(); ++j) {
      features(i, j) = relative(model, base, chosen[j], settings.version);
    }
  }
  for (std::size_t j = 0; j < chosen.size(); ++j) {
    double mean = 0;
    for (std::size_t i = 0; i < n; ++i) mean += features(i, j) / static_cast<double>(n);
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += (features(i, j) - mean) * (features(i, j) - mean);
    const double count = static_cast<double>(n) - (settings.version == ArenaVersion::V01 ? 0 : 1);
    const double deviation = std::sqrt(squares / count);
    if (!(deviation > 0)) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("the answers' {} never differ from the baseline's", kNames[chosen[j]]),
                  "control for what differs");
    }
    for (std::size_t i = 0; i < n; ++i) features(i, j) = (features(i, j) - mean) / deviation;
  }
  return features;
}

}  // namespace coala
