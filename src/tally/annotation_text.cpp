#include "tally/annotation_text.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// NaN where there is no number: in files it is null.
double number(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::string percent(const Json& value) {
  return std::isnan(number(value)) ? "not defined" : fmt::format("{:.2f} %", 100 * number(value));
}

/// "-" where there is no interval.
std::string percents(const Json& interval) {
  return interval.is_null() ? "-"
                            : fmt::format("[{:.1f}, {:.1f}]", 100 * number(interval[0]), 100 * number(interval[1]));
}

/// A standard error in points.
std::string points(const Json& value) {
  return std::isnan(number(value)) ? "-" : fmt::format("{:.2f}", 100 * number(value));
}

std::string with_percents(const Json& estimate) {
  return percent(estimate.at("value")) + (estimate.at("ci95").is_null() ? "" : " " + percents(estimate.at("ci95")));
}

/// A number that may be unknown.
std::string with_interval(const Json& estimate) {
  if (std::isnan(number(estimate.at("value")))) return "not defined";
  const Json& interval = estimate.at("ci95");
  const std::string text = fmt::format("{:.3f}", number(estimate.at("value")));
  return interval.is_null() ? text : fmt::format("{} [{:.3f}, {:.3f}]", text, number(interval[0]), number(interval[1]));
}

std::string name_of(const Json& model) {
  return model.at("model").get<std::string>();
}

void write_alpaca_eval(const Json& table, std::string& text) {
  text += fmt::format("{:<36} {:>9} {:>6} {:<14} {:>9} {:>6} {:<14} {:>7}\n", "AlpacaEval 2", "LC", "SE",
                      "95 % prompts", "win rate", "SE", "95 % prompts", "length");
  bool own_model = false;
  for (const Json& model : table.at("models")) {
    text += fmt::format("{:<36} ", name_of(model));
    const bool controlled = model.contains("glm");
    if (controlled) {
      text += fmt::format("{:>9} {:>6} {:<14} ", percent(model.at("length_controlled_winrate")),
                          points(model.at("lc_standard_error")), percents(model.at("length_controlled_clustered95")));
      own_model = own_model || (model.at("glm") != "length_controlled_v1" && model.at("glm") != "baseline");
    } else {
      text += fmt::format("{:>9} {:>6} {:<14} ", "", "", "");
    }
    text += fmt::format("{:>9} {:>6} {:<14} {:>7}\n", percent(model.at("win_rate")), points(model.at("standard_error")),
                        percents(model.at("win_rate_clustered95")),
                        controlled ? std::to_string(model.at("avg_length").get<std::int64_t>()) : "");
  }
  for (const Json& model : table.at("models")) {
    if (!model.contains("not_length_controlled")) continue;
    text += fmt::format("{} has no LC: {}\n", name_of(model), model.at("not_length_controlled").get<std::string>());
  }
  if (own_model) {
    text +=
        "LC is not the leaderboard's: that needs the benchmark's difficulties and gamed baseline "
        "(--instruction-difficulty, --gamed-baseline)\n";
  }
}

void write_arena_hard(const Json& table, std::string& text) {
  for (const Json& part : table.at("tables")) {
    const bool v01 = part.at("version") == "v0.1";
    const std::string category = part.contains("category") ? ", " + part.at("category").get<std::string>() : "";
    text += fmt::format("Arena-Hard {}{}, against {}\n", part.at("version").get<std::string>(), category,
                        part.at("baseline").get<std::string>());
    text += fmt::format("  {:<36} {:>9} {:<14} {:<14} {:>8}\n", "", "score", v01 ? "95 % published" : "90 % published",
                        "95 % prompts", "battles");
    for (const Json& model : part.at("models")) {
      text += fmt::format("  {:<36} {:>9} {:<14} {:<14} {:>8}\n", name_of(model), percent(model.at("score")),
                          percents(model.at(v01 ? "bootstrap95" : "bootstrap90")), percents(model.at("clustered95")),
                          model.at("battles").get<std::size_t>());
    }
    if (!part.contains("style_coefficients")) continue;
    text += "  style coefficients:";
    for (const Json& value : part.at("style_coefficients")) text += fmt::format(" {:.3f}", value.get<double>());
    text += "\n";
  }
}

void write_marks(const Json& table, std::string& text) {
  text += fmt::format("{:<36} {:>8} {:>8} {:>8} {:<14} {:>7}\n", "MT-Bench", "turn 1", "turn 2", "average",
                      "95 % prompts", "dropped");
  for (const Json& model : table.at("models")) {
    const auto mark = [&model](const char* key) {
      const bool known = model.contains(key) && !model.at(key).is_null();
      return known ? fmt::format("{:.3f}", model.at(key).get<double>()) : std::string();
    };
    const Json& interval = model.at("average_clustered95");
    text += fmt::format(
        "{:<36} {:>8} {:>8} {:>8} {:<14} {:>7}\n", name_of(model), mark("turn_1"), mark("turn_2"), mark("average"),
        interval.is_null() ? "-" : fmt::format("[{:.2f}, {:.2f}]", number(interval[0]), number(interval[1])),
        model.at("dropped").get<std::size_t>());
  }
}

void write_pairs(const Json& table, std::string& text) {
  text += fmt::format("{:<36} {:>5} {:>5} {:>5} {:>9} {:<14}\n", "MT-Bench", "win", "loss", "tie", "adjusted",
                      "95 % prompts");
  for (const Json& model : table.at("models")) {
    text += fmt::format("{:<36} {:>5} {:>5} {:>5} {:>9} {:<14}\n", name_of(model), model.at("win").get<std::size_t>(),
                        model.at("loss").get<std::size_t>(), model.at("tie").get<std::size_t>(),
                        percent(model.at("win_rate_adjusted")), percents(model.at("adjusted_clustered95")));
  }
}

void write_judge(const Json& judge, std::string& text) {
  text += fmt::format("  {}: {} pairs", judge.at("judge").get<std::string>(), judge.at("pairs").get<std::size_t>());
  const auto left_out = judge.at("left_out").get<std::size_t>();
  if (left_out > 0) text += fmt::format(", {} of them without a verdict and left out", left_out);
  if (const auto refused = judge.at("refused").get<std::size_t>(); refused > 0) {
    text += fmt::format("; {} questions refused by the server", refused);
  }
  text += "\n";
  if (!judge.contains("win_rate")) {
    text += "    no figures: no pair has a verdict; the answers are in the transcript\n";
    return;
  }
  text += fmt::format("    win rate, ties half   {} {}\n", percent(judge.at("win_rate")),
                      percents(judge.at("win_rate_clustered95")));
  if (judge.contains("win_rate_by_probability")) {
    text += fmt::format("    by the verdicts' probabilities {}\n", with_percents(judge.at("win_rate_by_probability")));
  }
  if (judge.contains("by_turn")) {
    for (const Json& turn : judge.at("by_turn")) {
      text += fmt::format("    turn {:<17}{} of {} pairs\n", turn.at("turn").get<int>(),
                          with_percents(turn.at("win_rate")), turn.at("pairs").get<std::size_t>());
    }
  }
  text += fmt::format("    without ties          {} ({} won, {} lost, {} even)\n",
                      with_percents(judge.at("win_rate_without_ties")), judge.at("wins").get<std::size_t>(),
                      judge.at("losses").get<std::size_t>(), judge.at("ties").get<std::size_t>());
  text += fmt::format("    at equal lengths      {}\n", with_percents(judge.at("at_equal_lengths")));
  text += fmt::format("    the longer one wins   {}\n", with_percents(judge.at("longer_wins")));
  if (judge.contains("first_place_wins")) {
    text += fmt::format("    the one in front wins {}; the same verdict in both orders: {}\n",
                        with_percents(judge.at("first_place_wins")), percent(judge.at("same_in_both_orders")));
  }
  if (judge.contains("marks")) {
    text += fmt::format("    marks                 {}, {}; difference {}\n", with_interval(judge.at("marks")[0]),
                        with_interval(judge.at("marks")[1]), with_interval(judge.at("mark_difference")));
  }
}

void write_comparisons(const Json& table, std::string& text) {
  for (const Json& comparison : table.at("comparisons")) {
    text += fmt::format("{} against {}, 95 % intervals over prompts\n", comparison.at("replies").get<std::string>(),
                        comparison.at("against").get<std::string>());
    if (comparison.contains("replaced")) {
      text += fmt::format(
          "  {} answers stand behind an earlier one to the same question with other settings; the last counts\n",
          comparison.at("replaced").get<std::size_t>());
    }
    for (const Json& judge : comparison.at("judges")) write_judge(judge, text);
    if (!comparison.contains("agreement")) continue;
    for (const Json& agreement : comparison.at("agreement")) {
      text += fmt::format("  {} and {}: Cohen's kappa {} on {} pairs\n", agreement.at("judges")[0].get<std::string>(),
                          agreement.at("judges")[1].get<std::string>(), with_interval(agreement.at("cohen_kappa")),
                          agreement.at("pairs").get<std::size_t>());
    }
    text += fmt::format("  all judges: Krippendorff's alpha {}\n", with_interval(comparison.at("krippendorff_alpha")));
  }
}

}  // namespace

std::string annotation_text(const Json& table) {
  std::string text;
  const std::string format = table.at("format").get<std::string>();
  if (format == "alpaca-eval") {
    write_alpaca_eval(table, text);
  } else if (format == "arena-hard") {
    write_arena_hard(table, text);
  } else if (format == "coala") {
    write_comparisons(table, text);
  } else if (table.at("mode") == "single") {
    write_marks(table, text);
  } else {
    write_pairs(table, text);
  }
  return text;
}

}  // namespace coala
