#include "align/align.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>

#include "align/examples.h"
#include "align/outline.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "core/resources.h"
#include "core/setting_json.h"
#include "core/version.h"
#include "data/reading_metrics.h"
#include "data/reading_report.h"
#include "extract/feature_extractor.h"
#include "head/device_room.h"
#include "report/report.h"
#include "train/seeds.h"

namespace coala {
namespace {

struct Paths {
  std::filesystem::path train_features;
  std::filesystem::path eval_features;
  std::filesystem::path head;
  std::filesystem::path report;
  std::filesystem::path metrics;

  explicit Paths(const std::filesystem::path& out)
      : train_features(out / "features" / "train.safetensors"),
        eval_features(out / "features" / "eval.safetensors"),
        head(out / "head.safetensors"),
        report(out / "report.html"),
        metrics(out / "metrics.json") {}
};

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw Error(ErrorCode::Io, fmt::format("cannot create the folder {}: {}", folder.string(), error.message()),
                "name another --out");
  }
}

std::string text_of(const nlohmann::ordered_json& metrics) {
  return metrics.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// The metrics of a finished run with this key whose outputs are still what that run wrote.
std::optional<RunMetrics> finished_run(const Paths& paths, const std::string& key) {
  std::error_code ignored;
  if (!std::filesystem::exists(paths.metrics, ignored) || !std::filesystem::exists(paths.head, ignored) ||
      !std::filesystem::exists(paths.report, ignored)) {
    return std::nullopt;
  }
  const std::string text = read_file(paths.metrics);
  const auto json = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
  try {
    RunMetrics metrics = read_metrics<RunMetrics>(json, paths.metrics.string());
    if (!metrics.run || metrics.run->key != key || metrics.run->head_hash != hash_file(paths.head)) return std::nullopt;
    // Of a file that another version wrote, or somebody, it cannot be said again what it says.
    if (text_of(metrics_json(metrics)) != text) return std::nullopt;
    return metrics;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    log_warning(fmt::format("{}: the run is done again", error.what()));
    return std::nullopt;
  }
}

/// Totals of both extractions: what the run as a whole evaluated.
ExtractionMetrics combined(const ExtractTotals& train, const std::optional<ExtractTotals>& eval) {
  ExtractTotals both = train;
  if (eval) {
    both.counts += eval->counts;
    both.seconds += eval->seconds;
    both.flops += eval->flops;
    both.resumed_tokens += eval->resumed_tokens;
    both.up_to_date = both.up_to_date && eval->up_to_date;
  }
  return extraction_metrics(both);
}

/// What a token head needs of the model; null where it cannot have one, or none is asked for.
std::shared_ptr<const OutputMatrix> output_matrix(const Backbone& backbone, const AlignOptions& options) {
  const bool last_layer = options.features.layers == std::vector<std::size_t>{0};
  if (options.token_rank == 0 || backbone.identity().encoder || !last_layer) return nullptr;
  try {
    return std::make_shared<const OutputMatrix>(backbone);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    log_warning(fmt::format("no token head: {}", error.what()));
    return nullptr;
  }
}

/// Says what was read.
ReadingMetrics reading_of(const RecordStore& data) {
  const char* what = data.kind() == RecordKind::Pair ? "pairs" : "labelled responses";
  const std::string file = std::filesystem::path(data.name()).filename().string();
  for (const std::string& line : reading_lines(data.counts(), what)) log_line(fmt::format("{}: {}", file, line));
  return reading_metrics(data.counts());
}

/// What the training would say of the data only when all of it has been evaluated.
/// @return what was read, and what was left out
RunReading check_data(const RecordStore& train_data, const std::optional<RecordStore>& eval_data,
                      const AlignOptions& options) {
  RunReading reading;
  EvaluationPlan plan;
  plan.fraction = options.eval_fraction;
  reading.train = reading_of(train_data);
  const FeatureSet train = outline_of(train_data);
  if (eval_data) {
    reading.eval = reading_of(*eval_data);
    plan.held_out = outline_of(*eval_data);
  }
  check_training(train, plan, options.fit, options.seeds);
  return reading;
}

/// What the training will compute with at least: a fit that its device has no room for is refused before the features
/// are made.
FitSize expected_size(const RecordStore& data, const Backbone& backbone, const ExtractOptions& extract) {
  FitSize size{data.size(), data.kind() == RecordKind::Pair ? 2u : 1u, backbone.identity().dimension};
  size.feature_bytes = size.rows * size.sides * size.dimension * dtype_bytes(extract.dtype);
  return size;
}

/// The prompts of the rows that the run was judged on, each once.
std::vector<Prompt> held_out_prompts(const EvaluatedRows& rows, const RecordStore& data,
                                     std::span<const LeftOutRecord> left_out) {
  const std::vector<std::size_t> numbers = records_with_features(data.size(), left_out);
  std::set<std::int64_t> seen;
  std::vector<Prompt> prompts;
  for (std::size_t i = 0; i < rows.record.size(); ++i) {
    if (rows.record[i] >= numbers.size() || !seen.insert(rows.prompt_id[i]).second) continue;
    const Record record = data.record(numbers[rows.record[i]]);
    prompts.push_back(std::visit([](const auto& one) { return one.prompt; }, record));
  }
  return prompts;
}

ReplyMetrics reply_metrics(const GuidedReplies& replies) {
  ReplyMetrics metrics{replies.scale, replies.divergence, replies.entropy, replies.repetition, {}};
  if (!replies.marks.empty()) {
    const double sum = std::accumulate(replies.marks.begin(), replies.marks.end(), 0.0);
    metrics.judge_mean = sum / static_cast<double>(replies.marks.size());
  }
  return metrics;
}

/// Scores of replies by the reward head, each behind its prompt as it stands; NaN for a reply without a text.
std::vector<double> rewards_of(FeatureExtractor& extractor, const Head& head, std::span<const Prompt> prompts,
                               std::span<const std::string> replies) {
  std::vector<double> rewards;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    rewards.push_back(std::numeric_limits<double>::quiet_NaN());
    if (replies[i].empty()) continue;
    FeatureCounts counts;
    const std::string_view text = replies[i];
    const std::vector<EncodedResponse> encoded = extractor.encode(prompts[i], std::span(&text, 1), counts);
    const EncodedResponse* const response = &encoded.front();
    rewards.back() = head.score(extractor.pool_apart(std::span(&response, 1)).row(0));
  }
  return rewards;
}

/// Guided replies beside those with the wish as a system prompt; nothing where they cannot be compared, which is said.
std::optional<AheadMetrics> ahead_of_asked(const GuidanceTrial& trial) {
  const GuidedReplies& chosen = trial.tried[trial.chosen];
  const std::optional<Ahead> ahead = ahead_of(chosen, *trial.asked);
  if (chosen.scale != trial.scale) {
    log_warning("the wish as a system prompt was not compared: nothing was written at the scale that was taken");
    return std::nullopt;
  }
  if (!ahead) {
    log_warning("the wish as a system prompt was not compared: there are not two prompts with replies to compare");
    return std::nullopt;
  }
  const Comparer by = chosen.marks.empty() ? Comparer::RewardHead : Comparer::Judge;
  return AheadMetrics{by, ahead->mean, {ahead->low, ahead->high}, ahead->prompts};
}

/// Makes scale 1 of the head the one that was found.
GuidanceMetrics adopt_scale(const GuidanceTrial& trial, TokenHead& head) {
  for (float& weight : head.weights.values()) weight *= static_cast<float>(trial.scale);
  for (float& weight : head.bias) weight *= static_cast<float>(trial.scale);
  const GuidedReplies& chosen = trial.tried[trial.chosen];
  // Of a scale that was not written at: to the second order.
  const double ratio = trial.scale / chosen.scale;
  GuidanceMetrics metrics;
  metrics.budget = trial.budget;
  metrics.scale = trial.scale;
  metrics.divergence = chosen.divergence * ratio * ratio;
  metrics.repetition = chosen.repetition;
  metrics.raised = trial.raised;
  metrics.lowered = trial.lowered;
  metrics.unguided = reply_metrics(trial.unguided);
  metrics.judge_mean = reply_metrics(chosen).judge_mean;
  if (trial.asked) {
    metrics.asked = reply_metrics(*trial.asked);
    metrics.ahead_of_asked = ahead_of_asked(trial);
  }
  for (const GuidedReplies& tried : trial.tried) metrics.tried.push_back(reply_metrics(tried));
  return metrics;
}

/// Says what was cut to the maximum length.
void log_truncation(const FeatureCounts& counts) {
  if (counts.truncated_prompts + counts.truncated_responses == 0) return;
  log_warning(
      fmt::format("cut to the maximum length: {} prompts ({} tokens dropped), {} responses ({} tokens dropped); "
                  "--max-length raises it",
                  counts.truncated_prompts, counts.dropped_prompt_tokens, counts.truncated_responses,
                  counts.dropped_response_tokens));
}

}  // namespace

AlignResult align(const AlignOptions& options, ThreadPool& pool) {
  const double start_s = monotonic_s();
  const Paths paths(options.out);
  make_folder(options.out / "features");

  const RecordStore data(options.data, options.out);
  std::optional<RecordStore> eval_data;
  if (!options.eval_data.empty()) eval_data.emplace(DataFiles{options.eval_data, options.data.reader}, options.out);
  const RunReading reading = check_data(data, eval_data, options);
  log_line(fmt::format("stage 1 of 3: features of {}", data.name()));
  const Backbone backbone(options.model);
  for (const std::string& warning : backbone.warnings(options.features.template_mode)) log_warning(warning);
  ExtractOptions extract;
  extract.features = options.features;
  extract.threads = pool.size();
  extract.skip_bad = options.skip_bad;
  extract.output = output_matrix(backbone, options);
  extract.token_rank = extract.output ? options.token_rank : 0;
  extract.replace = true;  // the folder belongs to the run: features of another model or data are of no use in it
  if (options.backend != nullptr)
    check_device_room(expected_size(data, backbone, extract), options.fit, *options.backend);
  const FileExtraction train_extraction = extract_file(backbone, data, paths.train_features, extract);
  log_truncation(train_extraction.totals.counts);
  FeatureSet train = load_features(paths.train_features);
  std::optional<FileExtraction> eval_extraction;
  if (eval_data) {
    extract.projection = train_extraction.projection;
    eval_extraction = extract_file(backbone, *eval_data, paths.eval_features, extract);
    log_truncation(eval_extraction->totals.counts);
  }
  throw_if_interrupted();

  EvaluationPlan plan;
  plan.fraction = options.eval_fraction;
  plan.token_head = extract.token_rank > 0;
  Hasher key;
  key.add(train.metadata_value("fingerprint"));
  if (eval_extraction) {
    plan.held_out = load_features(paths.eval_features);
    key.add(plan.held_out->metadata_value("fingerprint"));
  }
  const nlohmann::ordered_json settings = settings_json(options.fit);
  key.add(settings.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace))
      .add(std::to_string(options.eval_fraction))
      .add(std::to_string(options.seeds))
      .add(kVersion)
      .add(options.command);
  if (options.backend != nullptr) key.add(options.backend->description());
  if (std::optional<RunMetrics> metrics = finished_run(paths, key.hex())) {
    log_line(fmt::format("nothing has changed: {} is up to date", options.out.string()));
    return {std::move(*metrics), true};
  }

  if (std::filesystem::exists(paths.metrics)) {
    log_line(fmt::format("{} holds a run with other data or settings: its head and report are replaced",
                         options.out.string()));
  }
  log_line(fmt::format("stage 2 of 3: training on {} rows of dimension {}", train.rows(), train.dimension()));
  TrainingRun run = train_over_seeds(train, plan, options.fit, options.seeds, pool, options.backend);
  throw_if_interrupted();

  RunMetrics& metrics = run.metrics;
  const std::optional<ExtractTotals> eval_totals =
      eval_extraction ? std::optional(eval_extraction->totals) : std::nullopt;
  const RecordStore& evaluated = eval_data ? *eval_data : data;
  const std::vector<LeftOutRecord>& left_out = (eval_totals ? *eval_totals : train_extraction.totals).left_out;
  std::vector<GuidedExample> guided;
  if (!options.wish.empty() && !run.head.token) {
    log_warning("the wish was not tried as a system prompt: there is no token head to compare with");
  }
  if (run.head.token) {
    GuidanceTrialSettings trial;
    trial.budget = options.guidance_budget;
    trial.reliability = metrics.token_head.value().reliability;
    trial.template_mode = options.features.template_mode;
    trial.seed = options.fit.seed;
    trial.threads = pool.size();
    trial.judge = options.judge;
    trial.wish = options.wish;
    std::optional<FeatureExtractor> extractor;
    if (!options.wish.empty() && !options.judge) {
      extractor.emplace(backbone, options.features, pool.size());
      trial.reward = [&](std::span<const Prompt> prompts, std::span<const std::string> replies) {
        return rewards_of(*extractor, run.head, prompts, replies);
      };
    }
    const GuidanceTrial tried = try_guidance(backbone, *run.head.token, *extract.output, mean_state(*train.token_basis),
                                             held_out_prompts(run.evaluated, evaluated, left_out), trial);
    if (tried.tried.empty()) {
      log_warning("no held-out prompt can be answered, so the scale of guidance could not be tried: 1 is a guess");
    } else {
      metrics.guidance = adopt_scale(tried, *run.head.token);
      run.head.metadata["guidance.divergence"] = fmt::format("{:.4f}", metrics.guidance->divergence);
      for (std::size_t i = 0; i < tried.prompts.size(); ++i) {
        guided.push_back({text_of(tried.prompts[i]), tried.unguided.texts[i], tried.tried[tried.chosen].texts[i]});
      }
    }
  }

  log_line("stage 3 of 3: head, report and metrics");
  save_head(run.head, paths.head);
  metrics.reading = reading;
  metrics.extraction = combined(train_extraction.totals, eval_totals);
  metrics.flops.extraction = train_extraction.totals.flops + (eval_totals ? eval_totals->flops : 0.0);
  metrics.flops.total += *metrics.flops.extraction;
  // As arXiv 2605.23244 counts: seconds of training times the peak of its GPU, without extraction.
  constexpr double kPaperFlopsPerSecond = 231e12;
  metrics.flops.paper_formula = kPaperFlopsPerSecond * metrics.solver.seconds;
  metrics.peak_rss_bytes = peak_rss_bytes();
  metrics.seconds = monotonic_s() - start_s;
  metrics.run = RunIdentity{key.hex(), hash_file(paths.head), options.command};
  constexpr std::size_t kExamples = 10;  // of each kind
  Examples examples = surest_rows(run.evaluated, kExamples);
  add_texts(examples, evaluated, left_out);
  write_file(paths.report,
             html_report({metrics, run.evaluated, examples, guided,
                          options.next ? options.next(run.head.token.has_value()) : std::vector<std::string>(),
                          options.command}));
  write_file(paths.metrics, text_of(metrics_json(metrics)));
  return {std::move(metrics), false};
}

}  // namespace coala
