#include <fmt/format.h>

#include <algorithm>

#include "core/setting_json.h"
#include "report/checks.h"
#include "report/markup.h"
#include "report/sections.h"
#include "report/values.h"
#include "report/verdict.h"

namespace coala {
namespace {

/// A list of texts as one.
std::string joined(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& one : list) text += (text.empty() ? "“" : ", “") + one + "”";
  return text.empty() ? "none" : text;
}

using Facts = std::vector<std::pair<std::string, std::string>>;

std::string counted(const std::optional<std::uint64_t>& count) {
  return count ? grouped(*count) : std::string();
}

/// Settings as "group.name" and value.
void add_settings(const FitSettings& settings, Facts& rows) {
  for_each_setting(settings, [&rows](const Setting& setting, const auto& value) {
    const nlohmann::ordered_json json = setting_json(value);
    rows.emplace_back(setting.group.empty() ? std::string(setting.json_key())
                                            : fmt::format("{}.{}", setting.group, setting.json_key()),
                      json.is_string() ? json.get<std::string>() : json.dump());
  });
}

std::string names_of(const NamedCounts& columns) {
  std::string names;
  for (const auto& [column, count] : columns) names += (names.empty() ? "" : ", ") + column;
  return names;
}

/// Those reasons that there were.
template <class Reasons>
void add_reasons(const Reasons& reasons, Facts& rows) {
  Reasons::list(reasons, [&rows](const Metric& reason, std::uint64_t count) {
    if (count != 0) rows.emplace_back(fmt::format("left out: {}", reason.key), grouped(count));
  });
}

/// What some files held, and what was left out of them and why.
void add_reading(Page& page, const char* heading, const ReadingMetrics& reading) {
  Facts rows;
  for (const auto& [shape, count] : reading.shapes) rows.emplace_back("shape " + shape, grouped(count));
  rows.emplace_back("records", grouped(reading.records));
  rows.emplace_back("of these used", grouped(reading.records_used));
  add_reasons(reading.left_out, rows);
  add_reasons(reading.records_without, rows);
  rows.emplace_back("columns read", names_of(reading.columns.read));
  rows.emplace_back("columns ignored", names_of(reading.columns.ignored));
  page.paragraph(heading);
  page.facts(rows);
}

/// Texts by their keys, those that are there.
template <class Texts>
Facts facts_of(const Texts& texts) {
  Facts facts;
  const auto add = [&facts](std::string_view key, const std::string& text) { facts.emplace_back(key, text); };
  Texts::list(texts, [&add]<class T>(const Metric& metric, const T& text) {
    if constexpr (std::is_same_v<T, std::string>) {
      add(metric.key, text);
    } else if (text) {
      add(metric.key, *text);
    }
  });
  return facts;
}

}  // namespace

void verdict_section(Page& page, const ReportInput& input) {
  const RunMetrics& metrics = input.metrics;
  const Verdict verdict = verdict_of(metrics);
  const char* mark = verdict.kind == Verdict::Kind::Worked   ? "good"
                     : verdict.kind == Verdict::Kind::TooFew ? "c"
                                                             : "bad";
  page.verdict(verdict.sentence, mark);
  for (const std::string& remark : verdict.remarks) page.paragraph(remark);
  // The verdict speaks of the head that guides; of the other one it is the checks.
  std::vector<std::string> failed;
  for (const Check& check : run_checks(metrics)) {
    if (check.passes || (check.of_reward_head && metrics.token_head)) continue;
    failed.push_back(fmt::format("{}. Found: {}.", check.failure, check.found));
  }
  if (!failed.empty()) page.alert("Look at this first", failed);
  constexpr std::size_t kShown = 3;
  if (!input.guided.empty()) page.section("replies", "Replies to held-out prompts, as the model is and guided");
  for (std::size_t i = 0; i < std::min(kShown, input.guided.size()); ++i) {
    const GuidedExample& example = input.guided[i];
    page.example(example.prompt, {{"as it is", example.before}, {"guided", example.after}});
  }
  if (metrics.guidance) {
    page.paragraph("Words that the head raises, of those that the replies have: " + joined(metrics.guidance->raised) +
                   ". Words that it lowers: " + joined(metrics.guidance->lowered) + ".");
  }
  if (!input.next.empty()) page.section("next", "To try it and to use it");
  for (const std::string& command : input.next) page.code(command);
}

void overview(Page& page, const RunMetrics& metrics) {
  const EvaluationMetrics& evaluation = metrics.evaluation;
  std::vector<Page::Tile> tiles;
  const auto add = [&](const std::optional<Estimate>& share, const std::string& name) {
    if (!share) return;
    const std::string interval = interval_text(share->ci95, 100);
    tiles.push_back({percent(share->value), name, interval.empty() ? "" : "95 %: " + interval});
  };
  add(evaluation.accuracy(), evaluation.pairs ? "pair accuracy, held out" : "accuracy, held out");
  if (evaluation.logistic) add(evaluation.logistic->accuracy, "logistic regression");
  add(evaluation.length.longer_accuracy, "the longer answer wins");
  if (evaluation.labelled) {
    add(evaluation.labelled->majority_accuracy, "the more frequent label");
    add(evaluation.labelled->balanced_accuracy, "balanced accuracy");
  }
  if (metrics.token_head) add(metrics.token_head->accuracy, "token head");
  tiles.push_back({duration(metrics.seconds), "whole run", fmt::format("{:.3g} TFLOP", metrics.flops.total / 1e12)});
  page.tiles(tiles);
}

void inputs_section(Page& page, const RunMetrics& metrics) {
  page.section("inputs", "What was trained on what");
  const EvaluationMetrics& evaluation = metrics.evaluation;
  const InputMetrics& inputs = metrics.inputs;
  Facts rows = facts_of(inputs.data);
  rows.emplace_back("training rows", grouped(metrics.train_rows));
  rows.emplace_back("training prompts", grouped(metrics.train_prompts));
  rows.emplace_back("evaluation rows", grouped(evaluation.rows));
  rows.emplace_back("evaluation prompts", counted(evaluation.prompts));
  rows.emplace_back("how they were held out", evaluation.held_out.value_or(""));
  rows.emplace_back("numbers per response", grouped(metrics.dimension));
  rows.emplace_back("tokens of the training file", counted(inputs.tokens));
  rows.emplace_back("tokens of the evaluation file", counted(inputs.eval_tokens));
  rows.emplace_back("seed", std::to_string(metrics.seed));
  rows.emplace_back("coala", metrics.version);
  page.facts(rows);
  if (metrics.reading) {
    add_reading(page, "What was read of the training file:", metrics.reading->train);
    if (metrics.reading->eval) {
      add_reading(page, "What was read of the evaluation file:", *metrics.reading->eval);
    }
  }

  Facts settings;
  add_settings(metrics.settings, settings);
  page.folded_facts("Options", settings);
  if (inputs.fingerprints) {
    page.folded_facts("Fingerprints", facts_of(*inputs.fingerprints), Column::Kind::Code);
  } else {
    page.note("The features carry no fingerprints: they were not made by coala.");
  }
}

void checks_section(Page& page, const RunMetrics& metrics) {
  page.section("checks", "Checks");
  page.note(
      "Leaks between training and evaluation rows flatter the head. The rest says whether its numbers can be "
      "taken as they stand.");
  std::vector<std::vector<std::string>> rows;
  for (const Check& check : run_checks(metrics)) {
    rows.push_back({check.passes ? "✓ holds" : "✗ FAILS", check.expected, check.found});
  }
  page.table({{"", Column::Kind::Text}, {"Expected", Column::Kind::Text}, {"Found", Column::Kind::Text}}, rows);
}

}  // namespace coala
