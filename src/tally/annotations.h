#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace coala {

/// Whose annotations they are, as their columns tell.
enum class AnnotationFormat { AlpacaEval, ArenaHard, MtBenchSingle, MtBenchPairs, Coala };

const char* format_name(AnnotationFormat format) noexcept;

/// One object of an annotation file and where it stands.
struct Annotation {
  nlohmann::json object;
  std::string place;  ///< "a.json, line 3": for messages
};

/// The objects of JSON lines, of an array, or under "rows" of one object, whose other columns then belong to each row;
/// packed by gzip or zstd or not.
/// @throws Error{BadInput} for what is no JSON, or no object at all
std::vector<Annotation> read_annotations(const std::vector<std::filesystem::path>& files);

/// @throws Error{BadInput} naming the columns found when they are nobody's
AnnotationFormat detect_format(const Annotation& first);

// Columns of an annotation. @throws Error{BadInput} naming the place, what was found and what was expected

std::string text_of(const Annotation& annotation, const char* column);
double number_of(const Annotation& annotation, const char* column);
/// A text or a whole number, as a text: ids are either.
std::string id_of(const Annotation& annotation, const char* column);
[[noreturn]] void fail_at(const Annotation& annotation, const std::string& problem);

/// Numbers equal names: 0 for the first name, 1 for the next new one, and so on. For clusters of one prompt.
std::vector<std::int64_t> numbered(const std::vector<std::string>& names);

}  // namespace coala
