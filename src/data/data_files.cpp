#include "data/data_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"

namespace coala {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPatternHint = "name the files that belong together, or a pattern such as 'FOLDER/train*'";

/// Without the ending of a packed file.
std::string unpacked_name(const fs::path& path) {
  const std::string ending = path.extension().string();
  return (ending == ".gz" || ending == ".zst" ? path.stem() : path.filename()).string();
}

/// Whether a file of a folder holds data, by its name: in a folder other things lie about.
bool is_data_name(const fs::path& path) {
  static constexpr std::array kEndings{".jsonl", ".json", ".ndjson", ".parquet", ".arrow", ".feather"};
  // What the datasets library writes beside the data.
  static constexpr std::array kOthers{"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json",
                                      "metadata.json",     "metrics.json",       "config.json"};
  const std::string name = unpacked_name(path);
  const std::string ending = fs::path(name).extension().string();
  return std::ranges::find(kEndings, ending) != kEndings.end() && std::ranges::find(kOthers, name) == kOthers.end();
}

/// A part of a file that was written as several: "train-00001-of-00004".
struct Part {
  std::string whole;
  std::uint64_t number = 0;  ///< from 0
  std::uint64_t count = 0;
};

std::optional<std::uint64_t> digits_before(std::string_view& text) {
  std::size_t begin = text.size();
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data() + begin, text.data() + text.size(), number);
  if (begin == text.size() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  text.remove_suffix(text.size() - begin);
  return number;
}

std::optional<Part> part_of(const fs::path& path) {
  const std::string stem = fs::path(unpacked_name(path)).stem().string();
  std::string_view rest = stem;
  // A hub's own conversions write a hash behind the numbers: "train-00000-of-00001-0123456789abcdef".
  if (const std::size_t dash = rest.rfind('-'); dash != std::string_view::npos && dash + 17 == rest.size()) {
    rest.remove_suffix(17);
  }
  const auto count = digits_before(rest);
  if (!count || !rest.ends_with("-of-")) return std::nullopt;
  rest.remove_suffix(4);
  const auto number = digits_before(rest);
  if (!number || !rest.ends_with('-')) return std::nullopt;
  rest.remove_suffix(1);
  return Part{std::string(rest), *number, *count};
}

/// The split that a name says, as the hub reads names: one of its words. Empty: it says none.
std::string split_in(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, const char*>, 11> kSplits{{{"train", "train"},
                                                                                     {"training", "train"},
                                                                                     {"test", "test"},
                                                                                     {"testing", "test"},
                                                                                     {"eval", "test"},
                                                                                     {"evaluation", "test"},
                                                                                     {"validation", "validation"},
                                                                                     {"valid", "validation"},
                                                                                     {"val", "validation"},
                                                                                     {"dev", "validation"},
                                                                                     {"heldout", "test"}}};
  std::string word;
  for (std::size_t i = 0; i <= name.size(); ++i) {
    const char c = i < name.size() ? name[i] : ' ';
    if (lower_case(c) >= 'a' && lower_case(c) <= 'z') {
      word += lower_case(c);
      continue;
    }
    const auto* found =
        std::ranges::find(kSplits, std::string_view(word), &std::pair<std::string_view, const char*>::first);
    if (found != kSplits.end()) return found->second;
    word.clear();
  }
  return {};
}

/// What the folder's files belong to: parts of one file, or the split that their names say.
std::string group_of(const fs::path& path) {
  if (const auto part = part_of(path)) return part->whole;
  return split_in(fs::path(unpacked_name(path)).stem().string());
}

/// Refuses files that are no one set of data: held-out rows would be trained on, or rows would be missing.
void check_folder(const fs::path& folder, const std::vector<fs::path>& files) {
  std::map<std::string, const fs::path*> groups;
  std::map<std::string, std::pair<std::set<std::uint64_t>, std::uint64_t>> parts;
  for (const fs::path& file : files) {
    groups.emplace(group_of(file), &file);
    if (const auto part = part_of(file)) {
      auto& [numbers, count] = parts[part->whole];
      numbers.insert(part->number);
      count = std::max(count, part->count);
    }
  }
  if (groups.size() > 1) {
    std::vector<std::string> names;
    for (const auto& [group, file] : groups) names.push_back(file->filename().string());
    throw Error(ErrorCode::BadInput,
                fmt::format("{} holds files of several splits: {}", folder.string(), fmt::join(names, ", ")),
                kPatternHint);
  }
  for (const auto& [whole, found] : parts) {
    const auto& [numbers, count] = found;
    if (numbers.size() >= count) continue;
    throw Error(ErrorCode::BadInput,
                fmt::format("{}: of the {} parts of {} there are {}", folder.string(), count, whole, numbers.size()),
                "fetch the rest, or name the files to be read");
  }
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::vector<fs::path> folders;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const fs::path& path = entry->path();
    std::error_code ignored;
    if (path.filename().string().starts_with('.')) continue;
    if (entry->is_directory(ignored)) {
      folders.push_back(path);
    } else if (is_data_name(path)) {
      files.push_back(path);
    }
  }
  if (error) {
    throw Error(ErrorCode::BadInput, fmt::format("cannot look into {}: {}", folder.string(), error.message()));
  }
  std::ranges::sort(files);
  std::ranges::sort(folders);
  if (!files.empty()) {
    check_folder(folder, files);
    return files;
  }
  std::vector<std::string> with_data;
  for (const fs::path& inner : folders) {
    std::vector<fs::path> found = files_in(inner);
    if (found.empty()) continue;
    with_data.push_back(inner.filename().string());
    files = std::move(found);
  }
  if (with_data.size() > 1) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} holds several folders of data: {}", folder.string(), fmt::join(with_data, ", ")),
                "name one of them");
  }
  return files;
}

std::vector<fs::path> files_matching(const std::string& pattern) {
  glob_t found = {};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<fs::path> files;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i) {
    if (!fs::is_directory(found.gl_pathv[i])) files.emplace_back(found.gl_pathv[i]);
  }
  ::globfree(&found);
  if (files.empty()) {
    throw Error(ErrorCode::BadInput, fmt::format("no file matches {}", pattern), "check the pattern");
  }
  std::ranges::sort(files);
  return files;
}

/// "owner/name" of a data set of the Hugging Face hub, from its name or address.
std::optional<std::string> hub_name(std::string_view name) {
  for (const std::string_view start : {"https://huggingface.co/datasets/", "hf://datasets/", "datasets/"}) {
    if (name.starts_with(start)) {
      name.remove_prefix(start.size());
      const std::size_t owner_end = name.find('/');
      if (owner_end == std::string_view::npos) return std::nullopt;
      name = name.substr(0, name.find_first_of("/?#@", owner_end + 1));
      break;
    }
  }
  const auto belongs = [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.' || c == '/'; };
  const std::size_t slash = name.find('/');
  const bool two_words = slash != std::string_view::npos && slash > 0 && slash + 1 < name.size() &&
                         name.find('/', slash + 1) == std::string_view::npos && name.front() != '.' &&
                         std::ranges::all_of(name, belongs) && !is_data_name(fs::path(name));
  return two_words ? std::optional(std::string(name)) : std::nullopt;
}

[[noreturn]] void fail_missing(const std::string& name) {
  if (const auto hub = hub_name(name)) {
    const std::string folder = hub->substr(hub->find('/') + 1);
    throw Error(ErrorCode::BadInput, fmt::format("there is no file or folder {}", name),
                fmt::format("a data set of the Hugging Face hub is fetched with: hf download --repo-type dataset {} "
                            "--local-dir {}; then use --data {}",
                            *hub, folder, folder));
  }
  if (name.find("://") != std::string::npos) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is an address; expected a file", name),
                fmt::format("fetch it first: curl -LO '{}'", name));
  }
  throw Error(ErrorCode::BadInput, fmt::format("cannot open {}: No such file or directory", name), "check the path");
}

std::vector<fs::path> files_for(const std::string& name) {
  if (name == "-") return {"/dev/stdin"};
  std::error_code error;
  const fs::file_status status = fs::status(name, error);
  if (status.type() == fs::file_type::not_found) {
    if (name.find_first_of("*?[") == std::string::npos) fail_missing(name);
    return files_matching(name);
  }
  if (!fs::is_directory(status)) return {name};  // what cannot be opened says so itself
  std::vector<fs::path> found = files_in(name);
  if (found.empty()) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is a folder without a file of data", name),
                "expected files that end in .jsonl, .json, .parquet or .arrow, or .gz or .zst behind that");
  }
  return found;
}

}  // namespace

std::vector<fs::path> find_data_files(const std::vector<std::string>& names) {
  std::vector<fs::path> files;
  for (const std::string& name : names) {
    const std::vector<fs::path> found = files_for(name);
    files.insert(files.end(), found.begin(), found.end());
  }
  std::set<fs::path> known;
  for (const fs::path& file : files) {
    std::error_code ignored;
    if (fs::is_regular_file(file, ignored) && !known.insert(fs::canonical(file, ignored)).second) {
      throw Error(ErrorCode::BadInput, fmt::format("{} is named twice", file.string()),
                  "its records would count twice");
    }
  }
  return files;
}

std::string name_of(const std::vector<fs::path>& files) {
  if (files.size() == 1) return files.front().string();
  return fmt::format("{} and {} more files", files.front().string(), files.size() - 1);
}

}  // namespace coala
