#include "serve/served_model.h"

#include <fmt/format.h>

#include <cstdlib>

#include "serve/request_error.h"

namespace coala {
namespace {

constexpr std::string_view kBase = "base";

bool is_number(const std::string& text) {
  char* end = nullptr;
  std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0';
}

}  // namespace

std::vector<std::string> ServedModel::names() const {
  std::vector<std::string> all{name};
  for (const auto& [head, reward] : rewards) all.push_back(name + "+" + head);
  if (teacher != nullptr) all.push_back(name + "+" + kTaught);
  return all;
}

bool ServedModel::guides(const std::string& head) const {
  return heads.contains(head) || (teacher != nullptr && head == kTaught);
}

std::shared_ptr<const LogitsProcessor> ServedModel::tilt(const std::string& head) const {
  if (teacher != nullptr && head == kTaught) return teacher->tilt();
  const auto found = heads.find(head);
  return found == heads.end() ? nullptr : found->second;
}

std::string ServedModel::full_name(std::string_view asked) const {
  if (asked == kBase) return name;
  if (asked.starts_with(kBase) && asked.substr(kBase.size()).starts_with("+")) {
    return name + std::string(asked.substr(kBase.size()));
  }
  return std::string(asked);
}

const std::string& ServedModel::reward_name(std::string_view asked) const {
  const std::string full = full_name(asked);
  if (teacher != nullptr && (full == kTaught || full == name + "+" + kTaught)) {
    throw RequestError(400, "unsupported_parameter", fmt::format("the head \"{}\" guides, and does not score", kTaught),
                       "model", "name a head of --head");
  }
  if (rewards.empty()) {
    throw RequestError(503, "no_reward_head", "no head is served, so nothing can be scored", "",
                       "start the server with --head");
  }
  for (const auto& [head, reward] : rewards) {
    if (full == head || full == name + "+" + head) return head;
  }
  if (!asked.empty() && full != name) {
    throw RequestError(404, "model_not_found", fmt::format("there is no model \"{}\" here", asked), "model",
                       fmt::format("there are {}", fmt::join(names(), ", ")));
  }
  if (rewards.size() == 1) return rewards.begin()->first;
  throw RequestError(400, "missing_required_parameter", "several heads are served, and \"model\" names none of them",
                     "model", fmt::format("name one of {}", fmt::join(names(), ", ")));
}

const std::string& ServedModel::report(const std::string& head) const {
  const std::string* found = nullptr;
  for (const auto& [own, reward] : rewards) {
    if (reward->record.report.empty() || (!head.empty() && own != head)) continue;
    if (found != nullptr) {
      throw RequestError(400, "missing_required_parameter", "several heads have a report, and \"head\" names none",
                         "head", "ask for /report?head=NAME");
    }
    found = &reward->record.report;
  }
  if (found != nullptr) return *found;
  throw RequestError(404, "not_found", head.empty() ? "no head has a report" : "there is no report of this head",
                     head.empty() ? "" : "head",
                     "coala align writes one beside a head, and --head-report names another");
}

nlohmann::ordered_json ServedModel::card(const std::string& head) const {
  if (teacher != nullptr && head == kTaught) return {{"scores", false}, {"guides", true}, {"taught", true}};
  const ServedReward& reward = *rewards.at(head);
  nlohmann::ordered_json card{{"digest", reward.digest},
                              {"scores", reward.head.network.neurons() > 0},
                              {"guides", heads.contains(head)},
                              {"max_length", reward.scorer->extractor().max_length_tokens()},
                              {"held_out", reward.record.held_out},
                              {"report", !reward.record.report.empty()}};
  for (const auto& [key, value] : reward.head.metadata) {
    if (key.ends_with("hash") || !is_number(value)) {
      card[key] = value;
    } else {
      card[key] = nlohmann::ordered_json::parse(value, nullptr, /*allow_exceptions=*/false);
      if (card[key].is_discarded()) card[key] = value;
    }
  }
  return card;
}

}  // namespace coala
