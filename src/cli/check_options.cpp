#include "cli/check_options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "data/data_files.h"
#include "features/feature_index.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

namespace fs = std::filesystem;

struct NamedPath {
  std::string option;
  fs::path path;
};

/// Without links and dots as far as it exists.
fs::path plain(const fs::path& path) {
  std::error_code error;
  fs::path result = fs::weakly_canonical(fs::absolute(path), error);
  return error ? path : result;
}

/// Terminals, /dev/null and pipes hold nothing that could be lost.
bool holds_nothing(const fs::path& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0 && (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode));
}

bool is_same(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (holds_nothing(a)) return false;
  return fs::equivalent(a, b, error) || plain(a) == plain(b);
}

bool is_inside(const fs::path& path, const fs::path& folder) {
  const fs::path inner = plain(path);
  const fs::path outer = plain(folder);
  const auto [in, out] = std::mismatch(inner.begin(), inner.end(), outer.begin(), outer.end());
  return out == outer.end() && in != inner.end();
}

/// The files that an input consists of: a feature store is a folder. (Models in parts are refused.)
std::vector<fs::path> files_of(const fs::path& input) {
  std::vector<fs::path> files{input};
  std::error_code error;
  if (fs::is_directory(input, error)) {
    for (auto entry = fs::directory_iterator(input, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
      const fs::path& path = entry->path();
      if (path == feature_index_path(input) || path.extension() == ".safetensors") files.push_back(path);
    }
  }
  return files;
}

/// Those of data; what is wrong with their name is for the command to say.
std::vector<fs::path> files_of_data(const std::string& name) {
  try {
    return find_data_files({name});
  } catch (const Error&) {
    return {name};
  }
}

/// What a command writes for an output, beside it while it works or in the folder that it names.
std::vector<fs::path> written_for(const CLI::App& command, const fs::path& output) {
  if (command.get_name() == "align") {
    return {output / "head.safetensors", output / "metrics.json", output / "report.html"};
  }
  std::vector<fs::path> written{output};
  if (command.get_name() == "generate" || command.get_name() == "sample")
    written.push_back(output.string() + ".partial");
  if (command.get_name() == "study" && command.get_option("--replies")->count() > 0) {
    written.push_back(fs::path(output).replace_extension(".key.json"));
  }
  return written;
}

/// The folders that a command makes, and clears away.
std::vector<fs::path> folders_of(const CLI::App& command, const fs::path& output) {
  if (command.get_name() == "align") return {output / "features"};
  if (command.get_name() == "extract") return {output, output.string() + ".parts"};
  return {};
}

[[noreturn]] void refuse(const NamedPath& output, const NamedPath& other, std::string_view why) {
  throw Error(
      ErrorCode::BadUsage,
      fmt::format("{} {} {} {} {}", output.option, output.path.string(), why, other.option, other.path.string()),
      "name another output");
}

void check_paths(const CLI::App& command, const std::vector<NamedPath>& inputs, const std::vector<NamedPath>& outputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const NamedPath& output = outputs[i];
    for (std::size_t j = 0; j < i; ++j) {
      if (is_same(output.path, outputs[j].path)) refuse(output, outputs[j], "is the same file as");
    }
    for (const NamedPath& input : inputs) {
      for (const fs::path& file : files_of(input.path)) {
        for (const fs::path& written : written_for(command, output.path)) {
          if (is_same(written, file)) refuse(output, input, "would replace");
        }
        for (const fs::path& folder : folders_of(command, output.path)) {
          if (is_inside(file, folder)) refuse(output, input, "is the folder of");
        }
      }
    }
  }
}

/// Outputs that a command adds to or goes on with, or that it checks itself.
bool is_gone_on_with(const CLI::App& command, const NamedPath& output) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kOutputs{{{"align", "--out"},
                                                                                          {"extract", "--out"},
                                                                                          {"chat", "--pairs"},
                                                                                          {"choose", "--out"},
                                                                                          {"judge", "--transcript"},
                                                                                          {"serve", "--teach"}}};
  if (std::ranges::find(kOutputs, std::pair<std::string_view, std::string_view>(command.get_name(), output.option)) !=
      kOutputs.end()) {
    return true;
  }
  std::error_code ignored;
  return fs::exists(output.path.string() + ".partial", ignored);  // what a stopped run has left
}

/// Says which files will be replaced.
void tell_replaced(const CLI::App& command, const std::vector<NamedPath>& outputs) {
  const CLI::Option* const quiet = command.get_option_no_throw("--quiet");
  if (quiet != nullptr && quiet->count() > 0) return;
  for (const NamedPath& output : outputs) {
    std::error_code error;
    if (!fs::is_regular_file(output.path, error) || fs::file_size(output.path, error) == 0) continue;
    if (is_gone_on_with(command, output)) continue;
    log_line(fmt::format("{} is there already, and is replaced when all is written", output.path.string()));
  }
}

}  // namespace

void check_options(const CLI::App& command) {
  std::vector<NamedPath> inputs;
  std::vector<NamedPath> outputs;
  for (const CLI::Option* option : command.get_options()) {
    const std::string type = option->get_type_name();
    const std::string name = option->get_name();
    for (const std::string& value : option->results()) {
      if (type.starts_with("FLOAT") && !std::isfinite(std::strtod(value.c_str(), nullptr))) {
        throw Error(ErrorCode::BadUsage, fmt::format("{} is '{}', which is no number to work with", name, value));
      }
      if (type != kInput && type != kData && type != kOutput) continue;
      if (value.empty()) {
        throw Error(ErrorCode::BadUsage, fmt::format("{} is empty", name),
                    "name a file, or leave the option out; a variable of the shell may not be set");
      }
      if (name == "--template" && (value == "model" || value == "raw" || value == "none" || value == "parsed"))
        continue;  // ways, not files
      if (type == kData) {
        for (const fs::path& file : files_of_data(value)) inputs.push_back({name, file});
      } else {
        (type == kInput ? inputs : outputs).push_back({name, value});
      }
    }
  }
  check_paths(command, inputs, outputs);
  tell_replaced(command, outputs);
}

}  // namespace coala
