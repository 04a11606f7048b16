#include "terminal/option_values.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

namespace coala {
namespace {

constexpr std::string_view kRange = " in [";  // INT in [0 - 9]

std::vector<std::string> parted(std::string_view list) {
  std::vector<std::string> names;
  while (true) {
    const std::size_t comma = list.find(',');
    names.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return names;
    list.remove_prefix(comma + 1);
  }
}

/// Without an exponent: "-1e+06" is -1000000.
std::string written_out(const std::string& number) {
  return number.find('e') == std::string::npos ? number : fmt::format("{}", std::strtod(number.c_str(), nullptr));
}

}  // namespace

OptionValues values_of(const CLI::Option& option) {
  const std::string description = option.get_type_name();
  const std::size_t colon = description.find(':');
  OptionValues values{.kind = description.substr(0, colon), .names = {}, .limit = {}};
  if (colon == std::string::npos) return values;
  std::string limit = description.substr(colon + 1);
  if (limit.starts_with('{')) {
    values.names = parted(std::string_view(limit).substr(1, limit.size() - 2));
    return values;
  }
  if (const std::size_t range = limit.find(kRange); range != std::string::npos) {
    limit = limit.substr(range + kRange.size(), limit.size() - range - kRange.size() - 1);
    const std::size_t dash = limit.find(" - ");
    if (dash != std::string::npos)
      limit = written_out(limit.substr(0, dash)) + " to " + written_out(limit.substr(dash + 3));
  }
  values.limit = limit == "POSITIVE" ? "above 0" : limit == "NONNEGATIVE" ? "0 or more" : limit;
  return values;
}

bool is_whole(const std::string& kind) {
  return kind == "INT" || kind == "UINT";
}

}  // namespace coala
