#include "study/study_key.h"

#include <fmt/format.h>

#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::BadInput, fmt::format("{} is no key of a study: {}", file.string(), what),
              "name the .key.json that `coala study` wrote beside the page");
}

template <class Value>
Value value_of(const Json& object, const char* name) {
  return object.at(name).get<Value>();
}

StudyKey key_of(const Json& json) {
  StudyKey key;
  key.study = value_of<std::string>(json, "study");
  key.title = value_of<std::string>(json, "title");
  key.seed = value_of<std::uint64_t>(json, "seed");
  key.consent_filled = value_of<bool>(json, "consent_filled");
  key.per_rater = value_of<std::size_t>(json, "comparisons_per_rater");
  key.all_equal = value_of<std::size_t>(json, "all_replies_equal");
  key.sources = value_of<std::vector<std::string>>(json, "sources");
  for (const auto& [id, comparison] : json.at("comparisons").items()) {
    ComparisonKey& to = key.comparisons[id];
    to.prompt = value_of<std::string>(comparison, "prompt");
    to.characters = value_of<std::uint64_t>(comparison, "characters");
    to.sources = value_of<std::map<std::string, int>>(comparison, "sources");
  }
  key.checks = value_of<std::map<std::string, std::map<std::string, bool>>>(json, "attention_checks");
  return key;
}

/// Whether each comparison has one text of each source.
bool is_whole(const StudyKey& key) {
  for (const auto& [id, comparison] : key.comparisons) {
    std::vector<bool> seen(key.sources.size(), false);
    for (const auto& [text, source] : comparison.sources) {
      if (source < 0 || static_cast<std::size_t>(source) >= seen.size() || seen[static_cast<std::size_t>(source)]) {
        return false;
      }
      seen[static_cast<std::size_t>(source)] = true;
    }
    if (comparison.sources.size() != key.sources.size()) return false;
  }
  return key.sources.size() >= 2;
}

}  // namespace

Json key_json(const StudyKey& key) {
  Json comparisons = Json::object();
  for (const auto& [id, comparison] : key.comparisons) {
    comparisons[id] = {
        {"prompt", comparison.prompt}, {"characters", comparison.characters}, {"sources", comparison.sources}};
  }
  return {{"coala_study_key", 1},
          {"study", key.study},
          {"title", key.title},
          {"seed", key.seed},
          {"consent_filled", key.consent_filled},
          {"comparisons_per_rater", key.per_rater},
          {"all_replies_equal", key.all_equal},
          {"sources", key.sources},
          {"comparisons", std::move(comparisons)},
          {"attention_checks", key.checks}};
}

StudyKey read_study_key(const std::filesystem::path& file) {
  const Json json = Json::parse(read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail(file, "it is not a JSON object");
  if (!json.contains("coala_study_key")) fail(file, "there is no \"coala_study_key\"");
  if (json.at("coala_study_key") != 1) fail(file, "it is of another version of coala");
  StudyKey key;
  try {
    key = key_of(json);
  } catch (const Json::exception& error) {
    fail(file, error.what());
  }
  if (!is_whole(key)) fail(file, "a comparison has not one text of each source");
  return key;
}

void write_study_key(const std::filesystem::path& file, const StudyKey& key) {
  if (std::filesystem::exists(file) && read_study_key(file).study != key.study) {
    throw Error(ErrorCode::Mismatch, fmt::format("{} is the key of another study", file.string()),
                "without it that study's answers cannot be added up: name another page with --out, or move it away");
  }
  write_file(file, key_json(key).dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace coala
