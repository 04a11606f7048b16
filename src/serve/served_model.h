#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "decode/logits_processor.h"
#include "head/head.h"
#include "judge/scorer.h"
#include "lm/backbone.h"
#include "serve/head_record.h"
#include "teach/teacher.h"

namespace coala {

/// A head that scores.
struct ServedReward {
  std::filesystem::path path;  ///< of its file
  Head head;
  std::shared_ptr<Scorer> scorer;  ///< heads of the same features share one
  std::string digest;              ///< of the head's file
  HeadRecord record;
};

/// A model, the heads that may guide it and those that score, under the names that clients know them by.
struct ServedModel {
  const Backbone& backbone;
  std::string name;
  TemplateMode mode = TemplateMode::Model;
  std::map<std::string, std::shared_ptr<const LogitsProcessor>> heads = {};   ///< each at scale 1
  std::map<std::string, std::shared_ptr<const LogitsProcessor>> biases = {};  ///< the same without context
  std::map<std::string, std::shared_ptr<const ServedReward>> rewards = {};    ///< all heads: each has a reward network
  Teacher* teacher = nullptr;  ///< what clients teach, under the name kTaught; null: nothing is taught

  /// Name of the head that clients teach.
  static constexpr const char* kTaught = "taught";

  /// Does a head of this name guide tokens?
  bool guides(const std::string& head) const;
  /// What it does at scale 1, as it is now; null for one that has learnt nothing yet.
  std::shared_ptr<const LogitsProcessor> tilt(const std::string& head) const;

  /// "name" for the model as it is, "name+head" with a head.
  std::vector<std::string> names() const;
  /// The name of names() that is meant: "base" is the model as it is, "base+head" with a head.
  std::string full_name(std::string_view asked) const;
  /// The head that a request for scores means.
  /// @param asked  a name of names(), or a head's; "": the only head, as the model as it is
  /// @throws RequestError
  const std::string& reward_name(std::string_view asked) const;
  /// The report of a head, HTML.
  /// @param head  "": the only one that has a report
  /// @throws RequestError
  const std::string& report(const std::string& head) const;
  /// What its file says of a head, how well it does on data that were held out, and whether it has a report.
  nlohmann::ordered_json card(const std::string& head) const;
};

}  // namespace coala
