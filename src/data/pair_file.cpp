#include "data/pair_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/utf8.h"
#include "data/writer.h"

namespace coala {
namespace {

/// Whether the last line of a file lacks its end.
bool ends_within_line(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file || file.tellg() <= 0) return false;
  file.seekg(-1, std::ios::end);
  return file.get() != '\n';
}

}  // namespace

std::size_t PairFile::last_number(std::string_view prefix) const {
  std::size_t last = 0;
  if (is_written_through(path_) || !std::filesystem::exists(path_)) return last;
  const std::string content = read_file(path_);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const std::string_view text = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (is_blank(text)) continue;
    const auto line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object()) {
      throw Error(ErrorCode::Mismatch, fmt::format("{} is no file of pairs: line {} is no JSON object", path_, number),
                  "name another file");
    }
    const auto id = line.find("id");
    if (id == line.end() || !id->is_string()) continue;
    const auto& name = id->get_ref<const std::string&>();
    if (!name.starts_with(prefix)) continue;
    std::size_t value = 0;
    const auto parsed = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), value);
    if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) last = std::max(last, value);
  }
  return last;
}

void PairFile::append(std::span<const Pair> pairs) const {
  std::string lines;
  for (const Pair& pair : pairs) lines += to_json_line(pair) + "\n";
  const bool is_file = std::filesystem::is_regular_file(path_);
  const std::uintmax_t before = is_file ? std::filesystem::file_size(path_) : 0;
  std::ofstream file(path_, std::ios::app | std::ios::binary);
  if (is_file && ends_within_line(path_)) file << '\n';
  if (file << lines << std::flush) return;
  file.close();
  std::error_code ignored;
  if (is_file) std::filesystem::resize_file(path_, before, ignored);
  throw Error(ErrorCode::Io, fmt::format("cannot write to {}", path_),
              "check that its folder exists, may be written and has room");
}

}  // namespace coala
