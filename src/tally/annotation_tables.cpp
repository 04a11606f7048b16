#include "tally/annotation_tables.h"

#include <fmt/format.h>

#include <map>

#include "core/error.h"
#include "data/data_files.h"
#include "tally/alpaca_eval.h"
#include "tally/annotations.h"
#include "tally/arena_hard.h"
#include "tally/labels.h"
#include "tally/mt_bench.h"
#include "tally/transcript.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Interval& interval) {
  return interval.is_known() ? Json{interval.low, interval.high} : Json();
}

Json alpaca_json(const AlpacaEvalScore& score) {
  const WinRates& wins = score.wins;
  Json json{{"model", score.model},
            {"win_rate", wins.rate},
            {"standard_error", wins.standard_error},
            {"win_rate_clustered95", json_of(wins.clustered95)},
            {"discrete_win_rate", wins.discrete},
            {"n_wins", wins.wins},
            {"n_wins_base", wins.losses},
            {"n_draws", wins.ties},
            {"n_total", score.rows - score.without_preference},
            {"without_preference", score.without_preference},
            {"win_rate_without_ties", wins.without_ties.value},
            {"win_rate_without_ties_wilson95", json_of(wins.without_ties.ci95)},
            {"win_rate_without_ties_wald95", json_of(wins.wald95)}};
  if (!score.controlled) {
    json["not_length_controlled"] = score.why_not_controlled;
    return json;
  }
  const LengthControlledRate& controlled = *score.controlled;
  json["avg_length"] = score.mean_length;
  json["length_controlled_winrate"] = controlled.rate;
  json["lc_standard_error"] = controlled.standard_error;
  json["length_controlled_clustered95"] = json_of(controlled.clustered95);
  json["glm"] = controlled.variant;
  json["glm_weights"] = {{"tanh_std_delta_len", controlled.length_coefficient},
                         {"instruction_difficulty", controlled.difficulty_coefficient},
                         {"not_gamed_baseline", controlled.model_coefficient}};
  json["glm_C"] = controlled.penalty_c;
  return json;
}

Json alpaca_table(const AnnotationSettings& settings, std::span<const Annotation> annotations, std::uint64_t seed) {
  const AlpacaEvalBackground background = read_background(settings.difficulties, settings.gamed, settings.gamed_sums);
  Json models = Json::array();
  for (const AlpacaEvalScore& score : alpaca_eval_scores(annotations, background, seed)) {
    models.push_back(alpaca_json(score));
  }
  return {{"models", std::move(models)}};
}

/// What one of Arena-Hard's metadata counts: a number, or numbers by kind.
double counted(const Annotation& answer, const nlohmann::json& metadata, const char* name) {
  const auto value = metadata.find(name);
  if (value != metadata.end() && value->is_number()) return value->get<double>();
  if (value == metadata.end() || !value->is_object()) fail_at(answer, fmt::format("its metadata have no {}", name));
  double sum = 0;
  for (const auto& kind : *value) sum += kind.is_number() ? kind.get<double>() : 0;
  return sum;
}

StyleTable read_styles(const std::vector<std::string>& files) {
  StyleTable styles;
  for (const Annotation& answer : read_annotations(find_data_files(files))) {
    const bool v20 = answer.object.contains("metadata");
    const char* const column = v20 ? "metadata" : "conv_metadata";
    const auto metadata = answer.object.find(column);
    if (metadata == answer.object.end() || !metadata->is_object()) {
      fail_at(answer, "has no metadata or conv_metadata (token_len, header_count, list_count, bold_count)");
    }
    const std::string model = text_of(answer, v20 ? "model" : "model_id");
    styles[model][id_of(answer, v20 ? "uid" : "question_id")] = {
        counted(answer, *metadata, "token_len"), counted(answer, *metadata, "header_count"),
        counted(answer, *metadata, "list_count"), counted(answer, *metadata, "bold_count")};
  }
  return styles;
}

ArenaJudgment arena_judgment(const Annotation& annotation, bool v20) {
  ArenaJudgment judgment{text_of(annotation, "model"), id_of(annotation, v20 ? "uid" : "question_id"), {}};
  const auto games_at = annotation.object.find("games");
  if (games_at == annotation.object.end() || !games_at->is_array() || games_at->size() < 2) {
    fail_at(annotation, "expected are two games");
  }
  const auto& games = *games_at;
  for (std::size_t k = 0; k < 2; ++k) {
    if (!games[k].is_object() || !games[k].contains("score")) continue;
    if (games[k]["score"].is_string()) judgment.verdicts[k] = games[k]["score"].get<std::string>();
  }
  return judgment;
}

Json arena_json(const std::string& category, const ArenaSettings& settings, const ArenaTable& table) {
  const bool v01 = settings.version == ArenaVersion::V01;
  Json json{{"version", v01 ? "v0.1" : "v2.0"}, {"baseline", settings.baseline}};
  if (!category.empty()) json["category"] = category;
  json["without_verdict"] = table.without_verdict;
  json["models"] = Json::array();
  for (const ArenaScore& score : table.scores) {
    json["models"].push_back({{"model", score.model},
                              {"score", score.score},
                              {v01 ? "bootstrap95" : "bootstrap90", json_of(score.published)},
                              {"mean_score", score.plain},
                              {"clustered95", json_of(score.clustered95)},
                              {"battles", score.battles}});
  }
  if (!table.style.empty()) json["style_coefficients"] = table.style;
  return json;
}

/// Whom a judgment's games are against: as it says, else as the user says, else as published for each benchmark and
/// category.
std::string arena_baseline(const AnnotationSettings& settings, const Annotation& annotation, bool v20,
                           const std::string& category) {
  if (annotation.object.contains("baseline")) {
    std::string baseline = text_of(annotation, "baseline");
    if (!settings.baseline.empty() && settings.baseline != baseline) {
      throw Error(ErrorCode::Mismatch,
                  fmt::format("{}: its games are against {}, not {}", annotation.place, baseline, settings.baseline),
                  "leave --baseline out, or name judgments against it alone");
    }
    return baseline;
  }
  if (!settings.baseline.empty()) return settings.baseline;
  if (!v20) return "gpt-4-0314";
  return category == "creative_writing" ? "gemini-2.0-flash-001" : "o3-mini-2025-01-31";
}

Json arena_tables(const AnnotationSettings& settings, std::span<const Annotation> annotations,
                  std::uint32_t published_seed) {
  const bool v20 = settings.arena == "auto" ? annotations.front().object.contains("uid") : settings.arena == "v2.0";
  std::map<std::pair<std::string, std::string>, std::vector<ArenaJudgment>> parts;  // by category and baseline
  for (const Annotation& annotation : annotations) {
    const bool named = v20 && annotation.object.contains("category");
    const std::string category = named ? text_of(annotation, "category") : "";
    parts[{category, arena_baseline(settings, annotation, v20, category)}].push_back(arena_judgment(annotation, v20));
  }
  ArenaSettings arena;
  arena.version = v20 ? ArenaVersion::V20 : ArenaVersion::V01;
  arena.seed = published_seed;
  for (const std::string& feature : settings.control) {
    (feature == "length" ? arena.control.length : arena.control.markdown) = true;
  }
  if (arena.control.any() && settings.answers.empty()) {
    throw Error(ErrorCode::BadUsage, "style control needs the answers' lengths and their markdown",
                "name the benchmark's files of answers, of the models and of the baseline (--answers)");
  }
  StyleTable styles;
  if (arena.control.any()) styles = read_styles(settings.answers);
  Json tables = Json::array();
  for (const auto& [part, judgments] : parts) {
    arena.baseline = part.second;
    tables.push_back(arena_json(part.first, arena, arena_table(judgments, styles, arena)));
  }
  return {{"tables", std::move(tables)}};
}

Json marks_table(std::span<const Annotation> annotations, std::uint64_t seed) {
  std::vector<Mark> marks;
  for (const Annotation& annotation : annotations) {
    const double turn = number_of(annotation, "turn");
    if (turn != 1 && turn != 2) fail_at(annotation, fmt::format("turn {} is neither 1 nor 2", turn));
    marks.push_back({text_of(annotation, "model"), id_of(annotation, "question_id"), static_cast<int>(turn),
                     number_of(annotation, "score")});
  }
  Json models = Json::array();
  for (const MarkScore& score : mark_scores(marks, seed)) {
    Json json{{"model", score.model}};
    for (std::size_t turn = 0; turn < score.turns.size(); ++turn) {
      json[fmt::format("turn_{}", turn + 1)] = score.turns[turn] ? Json(*score.turns[turn]) : Json();
    }
    json["average"] = score.overall.value;
    json["average_clustered95"] = json_of(score.overall.ci95);
    json["marks"] = score.marks;
    json["dropped"] = score.dropped;
    models.push_back(std::move(json));
  }
  return {{"mode", "single"}, {"models", std::move(models)}};
}

Json pairs_table(const AnnotationSettings& settings, std::span<const Annotation> annotations) {
  std::vector<MarkedPair> pairs;
  for (const Annotation& annotation : annotations) {
    MarkedPair pair{{text_of(annotation, "model_1"), text_of(annotation, "model_2")},
                    id_of(annotation, "question_id"),
                    {text_of(annotation, "g1_winner"), text_of(annotation, "g2_winner")}};
    for (const std::string& winner : pair.winners) {
      if (winner != "model_1" && winner != "model_2" && winner != "tie" && winner != "error") {
        fail_at(annotation, fmt::format("the winner '{}' is none of model_1, model_2, tie, error", winner));
      }
    }
    pairs.push_back(std::move(pair));
  }
  Json models = Json::array();
  for (const PairScore& score : pair_scores(pairs, settings.baseline)) {
    models.push_back({{"model", score.model},
                      {"win", score.wins},
                      {"loss", score.losses},
                      {"tie", score.ties},
                      {"win_rate", score.win_rate},
                      {"loss_rate", score.loss_rate},
                      {"win_rate_adjusted", score.adjusted.value},
                      {"adjusted_clustered95", json_of(score.adjusted.ci95)}});
  }
  return {{"mode", "pairs"}, {"models", std::move(models)}};
}

Json json_of(const Estimate& estimate) {
  return {{"value", estimate.value}, {"ci95", json_of(estimate.ci95)}};
}

Json sources_json(const JudgedSources& judged) {
  Json json{
      {"judge", judged.judge}, {"pairs", judged.pairs}, {"left_out", judged.left_out}, {"refused", judged.refused}};
  if (!judged.has_verdicts()) return json;
  json.update(Json{{"win_rate", judged.wins.rate},
                   {"standard_error", judged.wins.standard_error},
                   {"win_rate_clustered95", json_of(judged.wins.clustered95)},
                   {"wins", judged.wins.wins},
                   {"losses", judged.wins.losses},
                   {"ties", judged.wins.ties},
                   {"win_rate_without_ties", json_of(judged.wins.without_ties)},
                   {"win_rate_without_ties_wald95", json_of(judged.wins.wald95)},
                   {"at_equal_lengths", json_of(judged.at_equal_lengths)},
                   {"length_slope", json_of(judged.length_slope)},
                   {"longer_wins", json_of(judged.longer_wins)}});
  if (judged.weighted) json["win_rate_by_probability"] = json_of(*judged.weighted);
  for (const TurnRate& turn : judged.turns) {
    json["by_turn"].push_back({{"turn", turn.turn}, {"pairs", turn.pairs}, {"win_rate", json_of(turn.rate)}});
  }
  if (judged.first_wins) {
    json["first_place_wins"] = json_of(*judged.first_wins);
    json["same_in_both_orders"] = *judged.same_in_both_orders;
  }
  if (judged.marks) {
    json["marks"] = {json_of((*judged.marks)[0]), json_of((*judged.marks)[1])};
    json["mark_difference"] = json_of(*judged.mark_difference);
  }
  return json;
}

}  // namespace

Json comparison_tables(std::span<const Comparison> comparisons, std::uint64_t seed) {
  Json tables = Json::array();
  for (const Comparison& comparison : comparisons) {
    const ComparisonTable table = compare_sources(comparison.pairs, seed);
    Json json{{"replies", comparison.sources[0]}, {"against", comparison.sources[1]}};
    if (!comparison.set.empty()) json["set"] = comparison.set;
    if (comparison.replaced > 0) json["replaced"] = comparison.replaced;
    json["judges"] = Json::array();
    for (const JudgedSources& judged : table.judges) json["judges"].push_back(sources_json(judged));
    for (const JudgesAgreement& agreement : table.agreements) {
      json["agreement"].push_back({{"judges", {agreement.first, agreement.second}},
                                   {"pairs", agreement.pairs},
                                   {"cohen_kappa", json_of(agreement.kappa)}});
    }
    if (table.alpha) json["krippendorff_alpha"] = json_of(*table.alpha);
    tables.push_back(std::move(json));
  }
  return tables;
}

void add_labels(const std::string& file, std::vector<Comparison>& comparisons) {
  if (file.empty()) return;
  if (comparisons.size() != 1) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("the transcript holds {} comparisons, and {} does not say which one it is about",
                            comparisons.size(), file),
                "name the two files of replies, with the same --transcript: what is in it is not asked again");
  }
  const std::vector<JudgedPair> labels = read_labels(file, comparisons.front().names);
  comparisons.front().pairs.insert(comparisons.front().pairs.end(), labels.begin(), labels.end());
}

Json annotation_table(const AnnotationSettings& settings, std::uint64_t seed, std::uint32_t published_seed) {
  const std::vector<Annotation> annotations = read_annotations(find_data_files(settings.files));
  const AnnotationFormat format = detect_format(annotations.front());
  if (settings.format != "auto" && settings.format != format_name(format)) {
    throw Error(ErrorCode::Mismatch, fmt::format("{} looks like {}, not {}", annotations.front().place,
                                                 format_name(format), settings.format));
  }
  if (!settings.labels.empty() && format != AnnotationFormat::Coala) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("labels are of a transcript's pairs, and these are annotations of {}", format_name(format)),
                "leave --labels out");
  }
  Json result{{"format", format_name(format)}, {"annotations", annotations.size()}};
  switch (format) {
    case AnnotationFormat::AlpacaEval:
      result.update(alpaca_table(settings, annotations, seed));
      break;
    case AnnotationFormat::ArenaHard:
      result.update(arena_tables(settings, annotations, published_seed));
      break;
    case AnnotationFormat::MtBenchSingle:
      result.update(marks_table(annotations, seed));
      break;
    case AnnotationFormat::MtBenchPairs:
      result.update(pairs_table(settings, annotations));
      break;
    case AnnotationFormat::Coala: {
      std::vector<Comparison> comparisons = read_comparisons(annotations);
      add_labels(settings.labels, comparisons);
      result["comparisons"] = comparison_tables(comparisons, seed);
      break;
    }
  }
  return result;
}

}  // namespace coala
