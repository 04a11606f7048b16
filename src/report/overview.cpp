#include <fmt/format.h>

#include <algorithm>

#include "report/checks.h"
#include "report/markup.h"
#include "report/sections.h"
#include "report/verdict.h"

namespace coala {
namespace {

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// A list of texts as one.
std::string joined(const Json& list) {
  std::string text;
  for (const Json& one : list) text += (text.empty() ? "“" : ", “") + one.get<std::string>() + "”";
  return text.empty() ? "none" : text;
}

std::string counted(const Json& metrics, const char* key) {
  return metrics.contains(key) ? grouped(metrics.at(key).get<std::uint64_t>()) : std::string();
}

/// Settings as "group.name" and value.
void add_settings(const Json& settings, const std::string& prefix,
                  std::vector<std::pair<std::string, std::string>>& rows) {
  for (const auto& [name, value] : settings.items()) {
    if (value.is_object()) {
      add_settings(value, prefix + name + ".", rows);
    } else {
      rows.emplace_back(prefix + name, text_of(value));
    }
  }
}

std::string names_of(const Json& columns) {
  std::string names;
  for (const auto& [column, count] : columns.items()) names += (names.empty() ? "" : ", ") + column;
  return names;
}

/// What the files held, and what was left out of them and why.
void add_reading(Page& page, const Json& reading) {
  for (const auto& [which, file] : reading.items()) {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const auto& [shape, count] : file.at("shapes").items()) {
      rows.emplace_back("shape " + shape, grouped(count.get<std::uint64_t>()));
    }
    rows.emplace_back("records", counted(file, "records"));
    rows.emplace_back("of these used", counted(file, "records_used"));
    for (const char* table : {"left_out", "records_without"}) {
      for (const auto& [reason, count] : file.at(table).items()) {
        if (count != 0) rows.emplace_back("left out: " + reason, grouped(count.get<std::uint64_t>()));
      }
    }
    rows.emplace_back("columns read", names_of(file.at("columns").at("read")));
    rows.emplace_back("columns ignored", names_of(file.at("columns").at("ignored")));
    page.paragraph(which == "train" ? "What was read of the training file:" : "What was read of the evaluation file:");
    page.facts(rows);
  }
}

}  // namespace

void verdict_section(Page& page, const ReportInput& input) {
  const Json& metrics = input.metrics;
  const Verdict verdict = verdict_of(metrics);
  const char* mark = verdict.kind == Verdict::Kind::Worked   ? "good"
                     : verdict.kind == Verdict::Kind::TooFew ? "c"
                                                             : "bad";
  page.verdict(verdict.sentence, mark);
  for (const std::string& remark : verdict.remarks) page.paragraph(remark);
  // The verdict speaks of the head that guides; of the other one it is the checks.
  std::vector<std::string> failed;
  for (const Check& check : run_checks(metrics)) {
    if (check.passes || (check.of_reward_head && metrics.contains("token_head"))) continue;
    failed.push_back(fmt::format("{}. Found: {}.", check.failure, check.found));
  }
  if (!failed.empty()) page.alert("Look at this first", failed);
  constexpr std::size_t kShown = 3;
  if (!input.guided.empty()) page.section("replies", "Replies to held-out prompts, as the model is and guided");
  for (std::size_t i = 0; i < std::min(kShown, input.guided.size()); ++i) {
    const GuidedExample& example = input.guided[i];
    page.example(example.prompt, {{"as it is", example.before}, {"guided", example.after}});
  }
  if (metrics.contains("guidance") && metrics.at("guidance").contains("raised")) {
    const Json& guidance = metrics.at("guidance");
    page.paragraph("Words that the head raises, of those that the replies have: " + joined(guidance.at("raised")) +
                   ". Words that it lowers: " + joined(guidance.at("lowered")) + ".");
  }
  if (!input.next.empty()) page.section("next", "To try it and to use it");
  for (const std::string& command : input.next) page.code(command);
}

void overview(Page& page, const Json& metrics) {
  const std::string key = accuracy_key(metrics);
  std::vector<Page::Tile> tiles;
  const auto add = [&](const std::string& metric, const std::string& name) {
    if (!metrics.contains(metric)) return;
    const std::string interval = interval_text(metrics, metric, 100);
    tiles.push_back({percent(metrics.at(metric).get<double>()), name, interval.empty() ? "" : "95 %: " + interval});
  };
  add(key, has_pairs(metrics) ? "pair accuracy, held out" : "accuracy, held out");
  add("baseline/logistic_accuracy", "logistic regression");
  add("baseline/length_accuracy", "the longer answer wins");
  add("baseline/majority_accuracy", "the more frequent label");
  add("balanced_accuracy", "balanced accuracy");
  if (metrics.contains("token_head")) {
    const Json& token = metrics.at("token_head");
    tiles.push_back({percent(token.at("accuracy").get<double>()), "token head",
                     token.contains("accuracy_ci95") ? "95 %: " + interval_text(token, "accuracy", 100) : ""});
  }
  tiles.push_back({duration(metrics.at("seconds").get<double>()), "whole run",
                   fmt::format("{:.3g} TFLOP", metrics.at("flops").at("total").get<double>() / 1e12)});
  page.tiles(tiles);
}

void inputs_section(Page& page, const Json& metrics) {
  page.section("inputs", "What was trained on what");
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& [name, value] : metrics.at("data").items()) rows.emplace_back(name, text_of(value));
  rows.emplace_back("training rows", counted(metrics, "train_rows"));
  rows.emplace_back("training prompts", counted(metrics, "train_prompts"));
  rows.emplace_back("evaluation rows", counted(metrics, "eval_rows"));
  rows.emplace_back("evaluation prompts", counted(metrics, "eval_prompts"));
  rows.emplace_back("how they were held out", metrics.at("evaluation").get<std::string>());
  rows.emplace_back("numbers per response", counted(metrics, "dimension"));
  rows.emplace_back("tokens of the training file", counted(metrics, "num_tokens"));
  rows.emplace_back("tokens of the evaluation file", counted(metrics, "eval_num_tokens"));
  rows.emplace_back("seed", metrics.at("seed").dump());
  rows.emplace_back("coala", metrics.at("version").get<std::string>());
  page.facts(rows);
  if (metrics.contains("reading")) add_reading(page, metrics.at("reading"));

  std::vector<std::pair<std::string, std::string>> settings;
  add_settings(metrics.at("settings"), "", settings);
  page.folded_facts("Options", settings);
  if (metrics.contains("fingerprints")) {
    std::vector<std::pair<std::string, std::string>> hashes;
    for (const auto& [name, value] : metrics.at("fingerprints").items()) hashes.emplace_back(name, text_of(value));
    page.folded_facts("Fingerprints", hashes, Column::Kind::Code);
  } else {
    page.note("The features carry no fingerprints: they were not made by coala.");
  }
}

void checks_section(Page& page, const Json& metrics) {
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
