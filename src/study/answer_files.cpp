#include "study/answer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/utf8.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = std::size_t{16} << 20;  // a hundred times what 500 comparisons take

/// A file of answers.
struct AnswerFile {
  std::string name;
  json content;

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::BadInput, fmt::format("{}: {}", name, what),
                "answers are what the study's page saves, unchanged");
  }

  const json& at(const json& object, const char* field) const {
    const auto value = object.find(field);
    if (value == object.end()) fail(fmt::format("there is no \"{}\"", field));
    return *value;
  }

  std::string text(const json& object, const char* field) const {
    const json& value = at(object, field);
    if (!value.is_string()) fail(fmt::format("\"{}\" is no text", field));
    return value.get<std::string>();
  }
};

/// What one file says, checked.
struct FileContent {
  std::string rater;
  std::uint64_t changes = 0;
  std::string choices;  ///< hash of what was shown and chosen
  StudyRater counted;
  std::size_t asked = 0, answered = 0;
  bool attentive = true;
};

std::vector<std::filesystem::path> files_of(const std::vector<std::string>& names) {
  std::vector<std::filesystem::path> files;
  for (const std::string& name : names) {
    if (!std::filesystem::is_directory(name)) {
      files.emplace_back(name);
      continue;
    }
    std::vector<std::filesystem::path> inside;
    for (const auto& entry : std::filesystem::directory_iterator(name)) {
      if (entry.path().extension() == ".json") inside.push_back(entry.path());
    }
    if (inside.empty()) throw Error(ErrorCode::BadInput, fmt::format("{} has no file *.json", name));
    std::ranges::sort(inside);
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

AnswerFile open_answers(const std::filesystem::path& path, const StudyKey& key) {
  AnswerFile file{path.string(), json::parse(read_file(path, kMostBytes), nullptr, /*allow_exceptions=*/false)};
  if (!file.content.is_object()) file.fail("it is not a JSON object");
  if (!file.content.contains("coala_study_answers")) file.fail("it has no \"coala_study_answers\"");
  if (file.content["coala_study_answers"] != 1) file.fail("it is of a page of another version of coala");
  const std::string study = file.text(file.content, "study");
  if (study != key.study) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} answers the study {}, the key is of {}", file.name, quoted_text(study), key.study),
                "add up each study with its own key");
  }
  if (file.at(file.content, "consented") != true) file.fail("the rater has not consented");
  return file;
}

/// The texts of a comparison in the order of their places: all that it has, each once.
template <class Known>
std::vector<std::string> texts_of(const AnswerFile& file, const json& entry, const std::string& id,
                                  const Known& known) {
  const json& texts = file.at(entry, "texts");
  std::set<std::string> seen;
  std::vector<std::string> result;
  for (const json& text : texts) {
    if (!text.is_string() || !known.contains(text.get<std::string>()) || !seen.insert(text.get<std::string>()).second) {
      file.fail(fmt::format("comparison {} has not the texts of the study", id));
    }
    result.push_back(text.get<std::string>());
  }
  if (result.size() != known.size()) file.fail(fmt::format("comparison {} has not the texts of the study", id));
  return result;
}

/// The text that was chosen; empty: no difference.
std::string choice_of(const AnswerFile& file, const json& entry, const std::string& id,
                      const std::vector<std::string>& texts) {
  const json& choice = entry.at("choice");
  if (choice.is_null()) return {};
  if (!choice.is_string() || std::ranges::find(texts, choice.get<std::string>()) == texts.end()) {
    file.fail(fmt::format("the choice of comparison {} is none of its texts", id));
  }
  return choice.get<std::string>();
}

FileContent content_of(const AnswerFile& file, const StudyKey& key, const std::map<std::string, std::int64_t>& numbers,
                       const std::map<std::string, std::int64_t>& prompts) {
  FileContent content;
  content.rater = file.text(file.content, "rater");
  if (content.rater.empty() || content.rater.size() > 64) file.fail("\"rater\" is no number of a rater");
  const json& changes = file.at(file.content, "changes");
  if (!changes.is_number_unsigned()) file.fail("\"changes\" is no count");
  content.changes = changes.get<std::uint64_t>();
  content.counted.name = file.name;
  const json& entries = file.at(file.content, "comparisons");
  if (!entries.is_array() || entries.empty()) file.fail("\"comparisons\" is no list of comparisons");
  if (const std::size_t expected = key.per_rater + key.checks.size(); entries.size() != expected) {
    file.fail(fmt::format("it has {} comparisons, the study asks {}", entries.size(), expected));
  }
  std::set<std::string> seen;
  std::size_t checks = 0;
  Hasher choices;
  for (const json& entry : entries) {
    if (!entry.is_object()) file.fail("a comparison is no object");
    const std::string id = file.text(entry, "id");
    if (!seen.insert(id).second) file.fail(fmt::format("comparison {} is there twice", quoted_text(id)));
    const auto comparison = key.comparisons.find(id);
    const auto check = key.checks.find(id);
    if (comparison == key.comparisons.end() && check == key.checks.end()) {
      file.fail(fmt::format("the study has no comparison {}", quoted_text(id)));
    }
    const bool is_check = check != key.checks.end();
    const std::vector<std::string> texts =
        is_check ? texts_of(file, entry, id, check->second) : texts_of(file, entry, id, comparison->second.sources);
    const json& seconds = file.at(entry, "seconds");
    if (!seconds.is_number() || !(seconds.get<double>() >= 0) || !std::isfinite(seconds.get<double>())) {
      file.fail(fmt::format("the seconds of comparison {} are no duration", id));
    }
    ++content.asked;
    checks += is_check ? 1 : 0;
    for (const std::string& text : texts) choices.add(text);
    if (!entry.contains("choice")) continue;
    ++content.answered;
    const std::string choice = choice_of(file, entry, id, texts);
    choices.add(id).add(choice);
    if (is_check) {
      content.attentive = content.attentive && !choice.empty() && check->second.at(choice);
      continue;
    }
    StudyAnswer answer;
    answer.comparison = numbers.at(id);
    answer.prompt = prompts.at(comparison->second.prompt);
    for (const std::string& text : texts) answer.places.push_back(comparison->second.sources.at(text));
    answer.choice = choice.empty() ? kNoDifference : comparison->second.sources.at(choice);
    answer.seconds = seconds.get<double>();
    answer.characters = static_cast<double>(comparison->second.characters);
    content.counted.answers.push_back(std::move(answer));
  }
  if (checks != key.checks.size()) file.fail("it has not all of the study's attention checks");
  content.choices = choices.hex();
  return content;
}

/// Two files of one rater: keeps the one that was saved later. Answers are changed and not taken back, so a later file
/// has all comparisons of an earlier one.
/// @return the name of the other
std::string keep_later(FileContent& kept, FileContent&& other) {
  if (other.changes > kept.changes) std::swap(kept, other);
  const auto answered = [](const FileContent& file, std::int64_t comparison) {
    return std::ranges::find(file.counted.answers, comparison, &StudyAnswer::comparison) != file.counted.answers.end();
  };
  const bool apart = kept.changes == other.changes
                         ? kept.choices != other.choices
                         : std::ranges::any_of(other.counted.answers, [&](const StudyAnswer& answer) {
                             return !answered(kept, answer.comparison);
                           });
  if (apart) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} and {} are of the same rater and have gone different ways", kept.counted.name,
                            other.counted.name),
                "ask which one counts, and leave the other one out");
  }
  return other.counted.name;
}

}  // namespace

StudyAnswers read_study_answers(const std::vector<std::string>& names, const StudyKey& key) {
  std::map<std::string, std::int64_t> numbers;
  std::map<std::string, std::int64_t> prompts;
  for (const auto& [id, comparison] : key.comparisons) {
    numbers.emplace(id, static_cast<std::int64_t>(numbers.size()));
    prompts.emplace(comparison.prompt, static_cast<std::int64_t>(prompts.size()));
  }
  StudyAnswers answers;
  std::vector<FileContent> files;
  std::map<std::string, std::size_t> by_rater;
  for (const std::filesystem::path& path : files_of(names)) {
    FileContent content = content_of(open_answers(path, key), key, numbers, prompts);
    const auto [known, is_new] = by_rater.emplace(content.rater, files.size());
    if (is_new) {
      files.push_back(std::move(content));
    } else {
      answers.replaced.push_back(keep_later(files[known->second], std::move(content)));
    }
  }
  for (FileContent& content : files) {
    const std::string name = content.counted.name;
    if (!content.attentive) {
      answers.inattentive.push_back(std::move(content.counted));
    } else if (content.counted.answers.empty()) {
      answers.without_answer.push_back(name);
    } else {
      if (content.answered < content.asked) answers.unfinished.push_back(name);
      answers.raters.push_back(std::move(content.counted));
    }
  }
  return answers;
}

}  // namespace coala
