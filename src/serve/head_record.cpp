#include "serve/head_record.h"

#include <fmt/format.h>

#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "train/run_metrics.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestFile_bytes = std::size_t{32} << 20;

Json estimate(const Estimate& figure) {
  Json json{{"value", figure.value}};
  if (figure.ci95.is_known()) {
    json["low"] = figure.ci95.low;
    json["high"] = figure.ci95.high;
  }
  return json;
}

Json held_out(const EvaluationMetrics& metrics) {
  if (!metrics.pairs && !metrics.labelled) return {};
  Json json{{"rows", metrics.rows}};
  if (metrics.prompts) json["prompts"] = *metrics.prompts;
  json["accuracy"] = estimate(metrics.accuracy());
  if (metrics.logistic) json["baselines"]["logistic"] = estimate(metrics.logistic->accuracy);
  if (metrics.length.longer_accuracy) json["baselines"]["length"] = estimate(*metrics.length.longer_accuracy);
  if (metrics.labelled && metrics.labelled->majority_accuracy) {
    json["baselines"]["majority"] = estimate(*metrics.labelled->majority_accuracy);
  }
  return json;
}

}  // namespace

HeadRecord record_beside(const std::filesystem::path& head, const std::string& digest) {
  const std::filesystem::path metrics_path = head.parent_path() / "metrics.json";
  const std::filesystem::path report_path = head.parent_path() / "report.html";
  if (!std::filesystem::exists(metrics_path)) return {};
  try {
    const Json json = Json::parse(read_file(metrics_path, kLargestFile_bytes), nullptr, /*allow_exceptions=*/false);
    const RunMetrics metrics =
        json.is_discarded() ? RunMetrics() : read_metrics<RunMetrics>(json, metrics_path.string());
    if (!metrics.run || metrics.run->head_hash != digest) {
      log_warning(fmt::format("{} was not written with {}: its numbers and the report are not shown",
                              metrics_path.string(), head.filename().string()));
      return {};
    }
    HeadRecord record{held_out(metrics.evaluation), {}};
    if (std::filesystem::exists(report_path)) record.report = read_report(report_path);
    return record;
  } catch (const Error& error) {
    log_warning(fmt::format("nothing is shown of how {} was trained: {}", head.string(), error.what()));
    return {};
  }
}

std::string read_report(const std::filesystem::path& path) {
  std::string text = read_file(path, kLargestFile_bytes);
  if (!lower_case(std::string_view(text).substr(0, 16)).starts_with("<!doctype html") ||
      find_invalid_utf8(text) != std::string::npos) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is no HTML page", path.string()),
                "name a report of coala align or coala train");
  }
  return text;
}

}  // namespace coala
