#include "serve/head_record.h"

#include <fmt/format.h>

#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/utf8.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLargestFile_bytes = std::size_t{32} << 20;

/// {"value", "low", "high"} of a number with its 95 % interval; null when it is not there.
Json estimate(const Json& metrics, const std::string& key) {
  const auto value = metrics.find(key);
  if (value == metrics.end() || !value->is_number()) return nullptr;
  Json json{{"value", *value}};
  const auto interval = metrics.find(key + "_ci95");
  if (interval != metrics.end() && interval->is_array() && interval->size() == 2) {
    json["low"] = (*interval)[0];
    json["high"] = (*interval)[1];
  }
  return json;
}

Json held_out(const Json& metrics) {
  const bool pairs = metrics.contains("eval_rewards/accuracies");
  Json json;
  for (const auto& [name, key] : {std::pair{"rows", "eval_rows"}, std::pair{"prompts", "eval_prompts"}}) {
    if (metrics.contains(key) && metrics[key].is_number()) json[name] = metrics[key];
  }
  json["accuracy"] = estimate(metrics, pairs ? "eval_rewards/accuracies" : "eval_accuracy");
  for (const char* name : {"logistic", "length", "majority"}) {
    Json baseline = estimate(metrics, fmt::format("baseline/{}_accuracy", name));
    if (!baseline.is_null()) json["baselines"][name] = std::move(baseline);
  }
  return json["accuracy"].is_null() ? Json() : json;
}

}  // namespace

HeadRecord record_beside(const std::filesystem::path& head, const std::string& digest) {
  const std::filesystem::path metrics_path = head.parent_path() / "metrics.json";
  const std::filesystem::path report_path = head.parent_path() / "report.html";
  if (!std::filesystem::exists(metrics_path)) return {};
  try {
    const Json metrics = Json::parse(read_file(metrics_path, kLargestFile_bytes), nullptr, /*allow_exceptions=*/false);
    const Json run = metrics.is_object() ? metrics.value("run", Json()) : Json();
    if (!run.is_object() || run.value("head_hash", Json()) != digest) {
      log_warning(fmt::format("{} was not written with {}: its numbers and the report are not shown",
                              metrics_path.string(), head.filename().string()));
      return {};
    }
    HeadRecord record{held_out(metrics), {}};
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
