#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace coala {

/// What a comparison's texts are, which the page does not say.
struct ComparisonKey {
  std::string prompt;                  ///< hash, the same for the same prompt
  std::uint64_t characters = 0;        ///< of prompt and replies
  std::map<std::string, int> sources;  ///< of the texts' ids: whose they are
};

/// What belongs to a study's page and is never in it.
struct StudyKey {
  std::string study;  ///< hash of what the page shows
  std::string title;
  std::uint64_t seed = 0;
  bool consent_filled = false;       ///< whether the page has a consent text of its own
  std::size_t per_rater = 0;         ///< comparisons, without attention checks
  std::size_t all_equal = 0;         ///< comparisons that are not asked because all replies are the same
  std::vector<std::string> sources;  ///< names
  std::map<std::string, ComparisonKey> comparisons;           ///< by id
  std::map<std::string, std::map<std::string, bool>> checks;  ///< by id: the texts' ids, and whether they are right
};

nlohmann::ordered_json key_json(const StudyKey& key);

/// @throws Error{BadInput} when the file is no key, naming what is wrong with it
StudyKey read_study_key(const std::filesystem::path& file);

/// Writes a key, never over another study's.
/// @throws Error{Mismatch} when the file has the key of another study, Error{Io}
void write_study_key(const std::filesystem::path& file, const StudyKey& key);

}  // namespace coala
