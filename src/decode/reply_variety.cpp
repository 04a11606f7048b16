#include "decode/reply_variety.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// How varied the replies to a prompt are: of their pairs of neighbouring words, the share that are different.
double variety(std::span<const Json> lines) {
  std::set<std::pair<std::string, std::string>> different;
  std::size_t all = 0;
  for (const Json& line : lines) {
    const std::string text = line.at("text").get<std::string>();
    std::string before;
    for (std::size_t at = 0; (at = text.find_first_not_of(" \n\t", at)) != std::string::npos;) {
      const std::size_t end = std::min(text.find_first_of(" \n\t", at), text.size());
      std::string word = text.substr(at, end - at);
      different.emplace(before, word);
      before = std::move(word);
      ++all;
      at = end;
    }
  }
  return all == 0 ? 0 : static_cast<double>(different.size()) / static_cast<double>(all);
}

}  // namespace

std::string most_varied_first(std::string_view lines, std::size_t each) {
  std::vector<std::pair<double, std::string>> groups;
  std::vector<Json> of_prompt;
  std::string text;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n') + 1;
    of_prompt.push_back(Json::parse(lines.substr(0, end)));
    text += lines.substr(0, end);
    lines.remove_prefix(end);
    if (of_prompt.size() < each) continue;
    groups.emplace_back(variety(of_prompt), std::move(text));
    of_prompt.clear();
    text.clear();
  }
  std::ranges::stable_sort(groups, std::ranges::greater{}, &std::pair<double, std::string>::first);
  std::string sorted;
  for (const auto& group : groups) sorted += group.second;
  return sorted;
}

}  // namespace coala
