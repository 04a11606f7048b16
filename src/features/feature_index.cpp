#include "features/feature_index.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/error.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "feature-store-1";

/// A number of rows or bytes. What is too large for one would be a floating-point number to the parser.
std::uint64_t count(const Json& object, const char* key) {
  const Json& value = object.at(key);
  if (!value.is_number_unsigned()) throw std::runtime_error(fmt::format("'{}' is not a count: {}", key, value.dump()));
  return value.get<std::uint64_t>();
}

FeatureIndex parse(const std::string& text) {
  const Json json = Json::parse(text);
  FeatureIndex index;
  const auto format = json.at("format").get<std::string>();
  if (format != kFormat) throw std::runtime_error(fmt::format("its format is '{}', not '{}'", format, kFormat));
  index.metadata = json.at("metadata").get<std::map<std::string, std::string>>();
  index.rows = count(json, "rows");
  index.max_file_bytes = count(json, "max_file_bytes");
  std::uint64_t rows = 0;
  for (const Json& entry : json.at("files")) {
    FeatureIndex::File file{entry.at("name").get<std::string>(), count(entry, "rows"),
                            entry.at("checksum").get<std::string>()};
    if (file.name.empty() || std::filesystem::path(file.name).filename() != file.name || file.name == "." ||
        file.name == "..") {
      throw std::runtime_error(fmt::format("'{}' is not the name of a file in the folder", file.name));
    }
    if (file.rows == 0 || file.rows > index.rows - rows) {
      throw std::runtime_error(fmt::format("the rows of its files do not add up to {}", index.rows));
    }
    rows += file.rows;
    index.files.push_back(std::move(file));
  }
  if (rows != index.rows || rows == 0) {
    throw std::runtime_error(fmt::format("its files have {} rows, it says {}", rows, index.rows));
  }
  return index;
}

}  // namespace

std::filesystem::path feature_index_path(const std::filesystem::path& store) {
  return store / "index.json";
}

std::string feature_file_name(std::size_t i, std::size_t count) {
  return fmt::format("features-{:05}-of-{:05}.safetensors", i + 1, count);
}

void write_feature_index(const std::filesystem::path& store, const FeatureIndex& index) {
  Json json{{"format", kFormat},
            {"rows", index.rows},
            {"max_file_bytes", index.max_file_bytes},
            {"files", Json::array()},
            {"metadata", index.metadata}};
  for (const FeatureIndex::File& file : index.files) {
    json["files"].push_back({{"name", file.name}, {"rows", file.rows}, {"checksum", file.checksum}});
  }
  write_file(feature_index_path(store),
             json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

FeatureIndex read_feature_index(const std::filesystem::path& store) {
  const std::filesystem::path path = feature_index_path(store);
  if (!std::filesystem::exists(path)) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is a folder without {}", store.string(), path.filename().string()),
                "give a feature file, or the folder that `coala extract --max-file-size` made");
  }
  const std::string text = read_file(path);
  try {
    return parse(text);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::CorruptFile,
                fmt::format("{} is not the index of a feature store: {}", path.string(), error.what()),
                "make it again with `coala extract`, or copy it again from where it came");
  }
}

}  // namespace coala
