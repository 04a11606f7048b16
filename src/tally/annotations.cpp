#include "tally/annotations.h"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/utf8.h"
#include "data/element_reader.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

bool has(const json& object, std::initializer_list<const char*> columns) {
  for (const char* column : columns) {
    if (!object.contains(column)) return false;
  }
  return true;
}

/// The rows of an object that holds several; what else it says goes for each of them.
bool expand(const json& object, const std::string& place, std::vector<Annotation>& to) {
  const auto rows = object.find("rows");
  if (rows == object.end() || !rows->is_array()) return false;
  const std::size_t before = to.size();
  for (const json& row : *rows) {
    Annotation annotation{row, fmt::format("{}, row {}", place, to.size() - before + 1)};
    if (!row.is_object()) fail_at(annotation, "is no object");
    for (const auto& [name, value] : object.items()) {
      if (name != "rows" && !row.contains(name)) annotation.object[name] = value;
    }
    to.push_back(std::move(annotation));
  }
  return true;
}

}  // namespace

const char* format_name(AnnotationFormat format) noexcept {
  switch (format) {
    case AnnotationFormat::AlpacaEval:
      return "alpaca-eval";
    case AnnotationFormat::ArenaHard:
      return "arena-hard";
    case AnnotationFormat::MtBenchSingle:
    case AnnotationFormat::MtBenchPairs:
      return "mt-bench";
    case AnnotationFormat::Coala:
      return "coala";
  }
  return "";
}

std::vector<Annotation> read_annotations(const std::vector<std::filesystem::path>& files) {
  std::vector<Annotation> result;
  for (const std::filesystem::path& file : files) {
    ElementReader reader(file, kMaxBytes);
    for (Element element; reader.next(element);) {
      throw_if_interrupted();
      const std::string place = fmt::format("{}, line {}", file.string(), element.line);
      json object = json::parse(element.text, nullptr, /*allow_exceptions=*/false);
      if (!object.is_object()) throw Error(ErrorCode::BadInput, place + " is not a JSON object");
      if (!expand(object, place, result)) result.push_back({std::move(object), place});
    }
  }
  if (result.empty()) throw Error(ErrorCode::BadInput, "there is no annotation in the files");
  return result;
}

AnnotationFormat detect_format(const Annotation& first) {
  const json& object = first.object;
  if (has(object, {"coala_judgment"})) return AnnotationFormat::Coala;
  if (has(object, {"instruction", "preference"})) return AnnotationFormat::AlpacaEval;
  if (has(object, {"games", "model"})) return AnnotationFormat::ArenaHard;
  if (has(object, {"model_1", "model_2", "g1_winner", "g2_winner"})) return AnnotationFormat::MtBenchPairs;
  if (has(object, {"model", "turn", "score"})) return AnnotationFormat::MtBenchSingle;
  std::string found;
  for (const auto& [name, value] : object.items()) found += (found.empty() ? "" : ", ") + name;
  throw Error(
      ErrorCode::BadInput, fmt::format("{} has the columns {}", first.place, found),
      "expected are AlpacaEval's (instruction, preference, ...), Arena-Hard's (model, games), MT-Bench's (model, "
      "turn, score; or model_1, model_2, g1_winner, g2_winner), or a transcript of `coala judge`");
}

void fail_at(const Annotation& annotation, const std::string& problem) {
  throw Error(ErrorCode::BadInput, fmt::format("{}: {}", annotation.place, problem));
}

std::string text_of(const Annotation& annotation, const char* column) {
  const auto value = annotation.object.find(column);
  if (value == annotation.object.end()) fail_at(annotation, fmt::format("there is no \"{}\"", column));
  if (!value->is_string()) fail_at(annotation, fmt::format("\"{}\" is no text", column));
  return value->get<std::string>();
}

double number_of(const Annotation& annotation, const char* column) {
  const auto value = annotation.object.find(column);
  if (value == annotation.object.end()) fail_at(annotation, fmt::format("there is no \"{}\"", column));
  if (!value->is_number()) {
    fail_at(annotation, fmt::format("\"{}\" is {}, not a number", column,
                                    quoted_text(value->dump(-1, ' ', false, json::error_handler_t::replace))));
  }
  return value->get<double>();
}

std::string id_of(const Annotation& annotation, const char* column) {
  const auto value = annotation.object.find(column);
  if (value == annotation.object.end()) fail_at(annotation, fmt::format("there is no \"{}\"", column));
  if (value->is_string()) return value->get<std::string>();
  if (value->is_number_integer()) return std::to_string(value->get<std::int64_t>());
  fail_at(annotation, fmt::format("\"{}\" is neither a text nor a whole number", column));
}

std::vector<std::int64_t> numbered(const std::vector<std::string>& names) {
  std::unordered_map<std::string, std::int64_t> known;
  std::vector<std::int64_t> numbers;
  for (const std::string& name : names) {
    numbers.push_back(known.emplace(name, static_cast<std::int64_t>(known.size())).first->second);
  }
  return numbers;
}

}  // namespace coala
