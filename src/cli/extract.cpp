#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_options.h"
#include "cli/feature_options.h"
#include "cli/model_options.h"
#include "cli/shard_option.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "core/resources.h"
#include "data/reading_metrics.h"
#include "data/reading_report.h"
#include "extract/extract_file.h"
#include "terminal/choice.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

using nlohmann::ordered_json;

struct ExtractCommand {
  CommonOptions common;
  ExtractOptions extract;
  DataOptions data;
  ModelOptions model;
  std::string out;
  std::string shard;
};

ordered_json to_json(const ExtractCommand& command, const FileExtraction& result, const ReaderCounts& reading) {
  ordered_json json;
  json["out"] = command.out;
  json["kind"] = result.kind == FeatureKind::Pairs ? "pairs" : "labelled";
  json["extract"] = metrics_json(extraction_metrics(result.totals));
  if (!result.totals.unfinished_shards.empty()) {
    json["unfinished_shards"] = ordered_json::array();
    for (const std::uint32_t s : result.totals.unfinished_shards) json["unfinished_shards"].push_back(s + 1);
  }
  json["reading"] = metrics_json(reading_metrics(reading));
  json["without_features"] = result.totals.left_out.size();
  json["flops"] = {{"extraction", result.totals.flops}};
  json["peak_rss_bytes"] = peak_rss_bytes();
  return json;
}

void print_extraction(const ExtractCommand& command, const FileExtraction& result, const ReaderCounts& reading) {
  const ExtractTotals& totals = result.totals;
  const FeatureCounts& counts = totals.counts;
  const char* what = result.kind == FeatureKind::Pairs ? "pairs" : "labelled responses";
  if (totals.up_to_date) {
    print_out("{} is up to date: {} {}\n", command.out, counts.records, what);
    return;
  }
  if (totals.unfinished_shards.empty()) {
    print_out("{}: {} {}\n", command.out, counts.records, what);
    for (const std::string& line : reading_lines(reading, what)) print_out("  {}\n", line);
  } else {
    std::vector<std::uint32_t> waiting;
    for (const std::uint32_t s : totals.unfinished_shards) waiting.push_back(s + 1);
    print_out("{}: part {} is done, waiting for {}\n", command.out, command.shard, fmt::join(waiting, ", "));
  }
  if (!totals.left_out.empty()) {
    print_out("  {} more were left out, since the model cannot take them\n", totals.left_out.size());
  }
  if (totals.resumed_tokens > 0) print_out("  {} tokens were evaluated before\n", totals.resumed_tokens);
  print_out("  {} tokens, {} unique, {} evaluated; {:.0f} evaluated tokens/s, {:.1f} s\n", counts.tokens,
            counts.unique_tokens, counts.evaluated_tokens, totals.tokens_per_second, totals.seconds);
  if (counts.truncated_prompts + counts.truncated_responses > 0) {
    print_out("  cut to the maximum length: {} prompts ({} tokens dropped), {} responses ({} tokens dropped)\n",
              counts.truncated_prompts, counts.dropped_prompt_tokens, counts.truncated_responses,
              counts.dropped_response_tokens);
  }
}

void run_extract(ExtractCommand& command) {
  set_quiet(command.common.quiet);
  ExtractOptions& options = command.extract;
  options.threads = chosen_threads(command.common);
  if (!command.shard.empty()) options.shard = parse_shard(command.shard);
  options.features.template_mode = command.model.template_mode();
  options.skip_bad = command.data.skip_bad;
  const Backbone backbone(command.model.file());
  show_warnings(backbone, options.features.template_mode);
  const RecordStore data(command.data.files(), std::filesystem::path(command.out).parent_path());
  const FileExtraction result = extract_file(backbone, data, command.out, options);
  if (command.common.json) {
    print_json(to_json(command, result, data.counts()));
  } else {
    print_extraction(command, result, data.counts());
  }
}

}  // namespace

void add_extract_command(CLI::App& app) {
  auto options = std::make_shared<ExtractCommand>();
  CLI::App& command = *app.add_subcommand("extract", "run preference data through a model and keep the features");
  add_model_options(command, options->model, /*required=*/true);
  add_data_options(command, options->data, /*required=*/true);
  add_skip_option(command, options->data);
  command
      .add_option("--out", options->out,
                  "feature file or folder to write (safetensors); resumed when it was interrupted")
      ->type_name(kOutput)
      ->required();
  add_feature_options(command, options->extract.features);
  command
      .add_option("--prefix-rows", options->extract.features.prefix_every_tokens,
                  "rows of the first K, 2K, .. tokens of the responses as well, for heads that judge unfinished text")
      ->check(CLI::PositiveNumber);
  command.add_option(
      "--token-rank", options->extract.token_rank,
      "above 0: what a token head of this rank is fitted to (docs/guidance.md) is kept as well; such as 32");
  add_choice(command, "--dtype", options->extract.dtype, "type of the stored numbers",
             {{"f32", Dtype::F32}, {"f16", Dtype::F16}, {"bf16", Dtype::BF16}});
  command
      .add_option("--max-file-size", options->extract.max_file_bytes,
                  "make a folder of files with at most this much each (such as 2GB) and an index, instead of one file")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  command.add_option("--shard", options->shard,
                     "evaluate part i of n (i/n), or the part that Slurm or MPI gives this process (auto); the last to "
                     "finish puts the file together");
  add_common_options(command, options->common);
  command.callback([options] { run_extract(*options); });
}

}  // namespace coala
