#include "study/study_summary.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "tally/study_table.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;
Json json_of(const Interval& interval) {
  return {interval.low, interval.high};
}

Json json_of(const Estimate& estimate) {
  return {{"value", estimate.value}, {"ci95", json_of(estimate.ci95)}};
}

Json share_json(const std::string& name, const StudyShare& share) {
  return {{"source", name},
          {"chosen", share.chosen},
          {"share", share.share},
          {"wald95", json_of(share.wald95)},
          {"wilson95", json_of(share.wilson95)},
          {"clustered95", json_of(share.clustered95)}};
}

Json rater_json(const RaterSummary& rater) {
  return {{"file", rater.name},
          {"answers", rater.answers},
          {"kappa_with_others", json_of(rater.kappa)},
          {"median_seconds", rater.median_seconds},
          {"characters_per_second", rater.characters_per_second},
          {"implausibly_fast", rater.implausibly_fast}};
}

Json names_of(const std::vector<StudyRater>& raters) {
  Json names = Json::array();
  for (const StudyRater& rater : raters) names.push_back(rater.name);
  return names;
}

bool is_known(const Json& number) {
  return number.is_number() && std::isfinite(number.get<double>());
}

std::string percents(const Json& interval) {
  if (!is_known(interval[0]) || !is_known(interval[1])) return "[not known]";
  return fmt::format("[{:.1f}, {:.1f}]", 100 * interval[0].get<double>(), 100 * interval[1].get<double>());
}

/// A share with its interval, in percent, or a difference of shares.
std::string with_percents(const Json& estimate) {
  if (!is_known(estimate.at("value"))) return "not defined";
  return fmt::format("{:.1f} % {}", 100 * estimate.at("value").get<double>(), percents(estimate.at("ci95")));
}

std::string with_interval(const Json& estimate) {
  if (!is_known(estimate.at("value"))) return "not defined";
  const Json& interval = estimate.at("ci95");
  const double value = estimate.at("value").get<double>();
  if (!is_known(interval[0]) || !is_known(interval[1])) return fmt::format("{:.3f}", value);
  return fmt::format("{:.3f} [{:.3f}, {:.3f}]", value, interval[0].get<double>(), interval[1].get<double>());
}

/// Files that something is to be said of, one a line.
void write_files(const Json& files, std::string_view what, std::string& text) {
  for (const Json& file : files) text += fmt::format("  {}: {}\n", what, file.get<std::string>());
}

void write_shares(const Json& result, std::string& text) {
  text += fmt::format("  {:<28} {:>7} {:>7} {:<14} {:<14} {:<14}\n", "", "chosen", "share", "95 % Wald", "95 % Wilson",
                      "95 % clustered");
  for (const Json& share : result.at("shares")) {
    text +=
        fmt::format("  {:<28} {:>7} {:>6.1f}% {:<14} {:<14} {:<14}\n", share.at("source").get<std::string>(),
                    share.at("chosen").get<std::uint64_t>(), 100 * share.at("share").get<double>(),
                    percents(share.at("wald95")), percents(share.at("wilson95")), percents(share.at("clustered95")));
  }
  text +=
      "  Wald as papers publish it, Wilson also for independent answers; clustered: those of one prompt and of one "
      "rater "
      "depend on each other, as intervals below have it\n";
  if (result.contains("win_rate")) {
    text += fmt::format("  {} wins, no difference half: {}\n", result.at("shares")[0].at("source").get<std::string>(),
                        with_percents(result.at("win_rate")));
  }
  for (const Json& difference : result.at("differences")) {
    text += fmt::format("  {} less {}: {}\n", difference.at("source").get<std::string>(),
                        difference.at("less").get<std::string>(), with_percents(difference));
  }
}

void write_raters(const Json& result, std::string& text) {
  text += fmt::format("  agreement: Krippendorff's alpha {} on {} comparisons with several answers\n",
                      with_interval(result.at("krippendorff_alpha")), result.at("rated_by_several").get<std::size_t>());
  text += fmt::format("  the first place is chosen {} of the time, without a liking for it {:.1f} %\n",
                      with_percents(result.at("first_place")), 100 * result.at("first_place_by_chance").get<double>());
  text += fmt::format("  {:.1f} s a comparison (median)\n", result.at("median_seconds").get<double>());
  text += fmt::format("  {:<40} {:>7} {:>8}  {}\n", "rater", "answers", "median s", "kappa with the others");
  for (const Json& rater : result.at("raters")) {
    text += fmt::format(
        "  {:<40} {:>7} {:>8.1f}  {}{}\n", rater.at("file").get<std::string>(), rater.at("answers").get<std::size_t>(),
        rater.at("median_seconds").get<double>(), with_interval(rater.at("kappa_with_others")),
        rater.at("implausibly_fast").get<bool>() ? fmt::format("; implausibly fast: {:.0f} characters a second",
                                                               rater.at("characters_per_second").get<double>())
                                                 : "");
  }
}

void write_power(const Json& power, std::string& text) {
  text += fmt::format(
      "  to tell 5 points between {} and {} ({:.1f} % of the choices together) takes {} independent answers",
      power.at("sources")[0].get<std::string>(), power.at("sources")[1].get<std::string>(),
      100 * power.at("shares").get<double>(), power.at("independent_answers").get<std::uint64_t>());
  if (power.at("answers").is_null()) {
    text += "\n";
    return;
  }
  text += fmt::format(", {} such as these (design effect {:.2f})\n", power.at("answers").get<std::uint64_t>(),
                      power.at("design_effect").get<double>());
}

}  // namespace

Json made_json(const Study& study, const std::string& page, const std::string& key) {
  const StudyKey& made = study.key;
  const double shares = 2.0 / static_cast<double>(made.sources.size());  // of two sources, all being equally good
  return {{"page", page},
          {"key", key},
          {"study", made.study},
          {"sources", made.sources},
          {"comparisons", made.comparisons.size()},
          {"all_replies_equal", made.all_equal},
          {"comparisons_per_rater", made.per_rater},
          {"attention_checks", made.checks.size()},
          {"consent_filled", made.consent_filled},
          {"page_bytes", study.page.size()},
          {"answers_to_tell_5_points", answers_to_tell(shares, kPointsApart)}};
}

std::string made_text(const Json& made) {
  std::string text;
  text += fmt::format("{}: {} comparisons of {} sources, {} of them and {} attention checks for each rater ({} kB)\n",
                      made.at("page").get<std::string>(), made.at("comparisons").get<std::size_t>(),
                      made.at("sources").size(), made.at("comparisons_per_rater").get<std::size_t>(),
                      made.at("attention_checks").get<std::size_t>(),
                      (made.at("page_bytes").get<std::size_t>() + 999) / 1000);
  if (const auto equal = made.at("all_replies_equal").get<std::size_t>(); equal > 0) {
    text += fmt::format("{} comparisons are left out: all sources reply the same\n", equal);
  }
  text += fmt::format("{}: the key, which raters must not see, and without which answers cannot be added up\n",
                      made.at("key").get<std::string>());
  const auto answers = made.at("answers_to_tell_5_points").get<std::uint64_t>();
  const auto each = made.at("comparisons_per_rater").get<std::uint64_t>();
  text += fmt::format(
      "to tell shares of two sources 5 points apart (two-sided 5 %, power 80 %) takes {} independent answers, "
      "those of {} raters; more, as far as answers of one rater or prompt are alike\n",
      answers, (answers + each - 1) / each);
  return text;
}

Json study_json(const StudyKey& key, const StudyAnswers& answers, std::uint64_t seed) {
  if (answers.raters.empty()) {
    throw Error(ErrorCode::BadInput,
                fmt::format("nobody is left to be counted: {} raters answered an attention check wrongly, {} answered "
                            "no comparison",
                            answers.inattentive.size(), answers.without_answer.size()));
  }
  const std::size_t sources = key.sources.size();
  const StudyTable table = study_table(answers.raters, sources, seed);
  Json result{{"study", key.study},
              {"title", key.title},
              {"consent_filled", key.consent_filled},
              {"answers", table.answers.count},
              {"all_replies_equal", key.all_equal},
              {"failed_attention_check", names_of(answers.inattentive)},
              {"without_answer", answers.without_answer},
              {"unfinished", answers.unfinished},
              {"replaced_by_later", answers.replaced},
              {"shares", Json::array()}};
  for (std::size_t s = 0; s <= sources; ++s) {
    result["shares"].push_back(share_json(s < sources ? key.sources[s] : "no difference", table.answers.shares[s]));
  }
  if (table.answers.win_rate) result["win_rate"] = json_of(*table.answers.win_rate);
  result["differences"] = Json::array();
  for (std::size_t s = 1; s < sources; ++s) {
    Json difference{{"source", key.sources[0]}, {"less", key.sources[s]}};
    difference.update(json_of(table.answers.differences[s - 1]));
    result["differences"].push_back(std::move(difference));
  }
  result["krippendorff_alpha"] = json_of(table.alpha);
  result["rated_by_several"] = table.rated_by_several;
  result["first_place"] = json_of(table.first_place);
  result["first_place_by_chance"] = 1.0 / static_cast<double>(sources);
  result["median_seconds"] = table.median_seconds;
  result["raters"] = Json::array();
  for (const RaterSummary& rater : table.raters) result["raters"].push_back(rater_json(rater));
  const StudyPower& power = table.power;
  result["power"] = {{"points", 100 * kPointsApart},
                     {"sources", {key.sources[power.first], key.sources[power.second]}},
                     {"shares", power.shares},
                     {"independent_answers", power.independent},
                     {"design_effect", power.design_effect},
                     {"answers", power.answers > 0 ? Json(power.answers) : Json()}};
  return result;
}

std::string study_text(const Json& result) {
  std::string text;
  text += fmt::format("{}: {} answers of {} raters\n", result.at("title").get<std::string>(),
                      result.at("answers").get<std::uint64_t>(), result.at("raters").size());
  if (!result.at("consent_filled").get<bool>()) {
    text += "  the page had no consent text: raters agreed to one that was to be filled in\n";
  }
  write_files(result.at("failed_attention_check"), "left out, an attention check answered wrongly", text);
  write_files(result.at("without_answer"), "left out, no comparison answered", text);
  write_files(result.at("replaced_by_later"), "left out, the same rater saved a later file", text);
  write_files(result.at("unfinished"), "not finished, counted as far as it goes", text);
  if (const auto equal = result.at("all_replies_equal").get<std::size_t>(); equal > 0) {
    text += fmt::format("  {} comparisons were not asked: all sources reply the same to them\n", equal);
  }
  write_shares(result, text);
  write_raters(result, text);
  write_power(result.at("power"), text);
  return text;
}

}  // namespace coala
