#include "data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/data_options.h"
#include "core/error.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "core/resources.h"
#include "data/reading_metrics.h"
#include "data/reading_report.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

using nlohmann::ordered_json;

struct PrepareCommand {
  CommonOptions common;
  PrepareOptions prepare;
  DataOptions data;
  std::string out;
  std::string eval_out;
};

ordered_json to_json(const LengthStatistics& lengths) {
  return {{"mean", lengths.mean()}, {"median", lengths.median()}, {"min", lengths.min()}, {"max", lengths.max()}};
}

ordered_json to_json(const PrepareReport& report) {
  const ReaderCounts& counts = report.counts;
  const bool pairs = report.kind == RecordKind::Pair;
  ordered_json json;
  json["kind"] = pairs ? "pairs" : "labelled";
  json.update(metrics_json(reading_metrics(counts)));
  json["written"] = report.written;
  json["written_eval"] = report.written_eval;
  json["prompts"] = report.prompts;
  json["without_prompt"] = report.without_prompt;
  json["repeated_prompts"] = report.repeated_prompts;
  json["duplicates"] = report.duplicates;
  if (pairs) json["contradicted"] = report.contradicted;
  json["characters"]["prompt"] = to_json(report.prompt);
  if (pairs) {
    json["characters"]["chosen"] = to_json(report.chosen);
    json["characters"]["rejected"] = to_json(report.rejected);
    json["chosen_longer"] = static_cast<double>(report.chosen_longer) / static_cast<double>(report.chosen.count());
    json["equally_long"] = static_cast<double>(report.equally_long) / static_cast<double>(report.chosen.count());
    json["baseline/length_accuracy"] = longer_wins(report);
  } else {
    json["characters"]["response"] = to_json(report.response);
    json["positive"] = report.positive;
  }
  json["peak_rss_bytes"] = peak_rss_bytes();
  return json;
}

void print_lengths(const char* name, const LengthStatistics& lengths) {
  print_out("  {:<20} {:>10.1f} {:>8} {:>8} {:>8}\n", name, lengths.mean(), lengths.median(), lengths.min(),
            lengths.max());
}

/// A title and one line per number that is not zero, under the name that it has in --json; nothing when all are.
void print_counts(const char* title, const ordered_json& counts) {
  const auto is_zero = [](const ordered_json& count) { return count == 0; };
  if (std::all_of(counts.begin(), counts.end(), is_zero)) return;
  print_out("{}\n", title);
  for (const auto& [name, count] : counts.items()) {
    if (count != 0) print_out("  {:<20} {:>10}\n", name, count.get<std::uint64_t>());
  }
}

void print_table(const PrepareReport& report) {
  const ordered_json json = to_json(report);
  const bool pairs = report.kind == RecordKind::Pair;
  print_out("{} {} from {} records ({} different prompts)\n", report.written + report.written_eval,
            pairs ? "pairs" : "labelled responses", report.counts.records, report.prompts);
  if (report.written_eval > 0) {
    print_counts("split by prompt", {{"written", report.written}, {"written_eval", report.written_eval}});
  }
  print_counts("by shape", json["shapes"]);
  if (json.contains("conversations")) {
    print_counts("alternating population", {{"conversations", report.counts.conversations},
                                            {"short_conversations", report.counts.short_conversations},
                                            {"triplets", report.counts.triplets}});
  }
  print_counts("left out", json["left_out"]);
  print_counts("records without a pair", json["records_without"]);
  print_out("columns read: {}\n", names_of(report.counts.columns_read));
  if (!report.counts.columns_ignored.empty()) {
    print_out("columns ignored: {}\n", names_of(report.counts.columns_ignored));
  }
  print_counts("kept, but worth a look", {{"without_prompt", report.without_prompt},
                                          {"duplicates", report.duplicates},
                                          {"contradicted", report.contradicted},
                                          {"repeated_prompts", report.repeated_prompts},
                                          {"diverged_early", report.counts.diverged_early}});
  print_out("characters                   mean   median      min      max\n");
  print_lengths("prompt", report.prompt);
  if (pairs) {
    print_lengths("chosen", report.chosen);
    print_lengths("rejected", report.rejected);
    print_out(
        "chosen is longer in {:.1f} % of the pairs, as long in {:.1f} %: \"the longer one is better\" is right in "
        "{:.1f} %\n",
        100 * json["chosen_longer"].get<double>(), 100 * json["equally_long"].get<double>(), 100 * longer_wins(report));
  } else {
    print_lengths("response", report.response);
    print_out("{} of {} are good\n", report.positive, report.response.count());
  }
}

void run_prepare(PrepareCommand& command) {
  set_quiet(command.common.quiet);
  PrepareOptions& options = command.prepare;
  options.data = command.data.files();
  options.out = command.out;
  options.eval_out = command.eval_out;
  options.seed = command.common.seed;
  const PrepareReport report = prepare(options);
  for (const std::string& example : report.counts.bad_examples) log_warning("left out: " + example);
  log_line(fmt::format("wrote {} records to {}", report.written, command.out));
  if (report.written_eval > 0) {
    log_line(fmt::format("wrote {} records to {}", report.written_eval, command.eval_out));
  }
  if (command.common.json) {
    print_json(to_json(report));
  } else {
    print_table(report);
  }
}

}  // namespace

void add_prepare_command(CLI::App& app) {
  auto options = std::make_shared<PrepareCommand>();
  CLI::App& command =
      *app.add_subcommand("prepare", "read preferences of any shape, write them in one, and describe them");
  add_data_options(command, options->data, /*required=*/true);
  add_skip_option(command, options->data);
  command.add_option("--out", options->out, "JSON lines to write; gzip when it ends in .gz")
      ->type_name(kOutput)
      ->required();
  auto* eval_out = command.add_option("--eval-out", options->eval_out, "write a held-out part here, split by prompt")
                       ->type_name(kOutput);
  command.add_option("--eval-fraction", options->prepare.eval_fraction, "share of the prompts that is held out")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->needs(eval_out);
  add_common_options(command, options->common);
  command.callback([options] { run_prepare(*options); });
}

}  // namespace coala
