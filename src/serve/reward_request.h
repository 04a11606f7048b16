#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "extract/feature_extractor.h"
#include "serve/current_model.h"

namespace coala {

/// A response that is to be scored.
struct RewardItem {
  Prompt prompt;
  std::string response;
  std::optional<TemplateMode> mode = {};  ///< how its text is read, if not as the head says
  std::string error;                      ///< why it cannot be scored; "": it can be tried
};

/// What a client asks to be scored.
struct RewardRequest {
  std::string head;                            ///< a name of ServedModel::rewards
  std::shared_ptr<const ServedReward> reward;  ///< of that name
  bool normalized = false;
  Cut cut = Cut::Fit;
  std::vector<RewardItem> items;
};

/// Makes requests of bodies that read_body() has checked. From any thread.
class RewardParser {
 public:
  explicit RewardParser(const CurrentModel& model);

  /// @throws RequestError
  RewardRequest parse_score(const nlohmann::json& body) const;    ///< queries and documents, 1:n or n:n
  RewardRequest parse_rerank(const nlohmann::json& body) const;   ///< a query and documents
  RewardRequest parse_queries(const nlohmann::json& body) const;  ///< prompts with responses in one text
  RewardRequest parse_inputs(const nlohmann::json& body) const;   ///< such texts, or conversations

 private:
  RewardRequest parse_common(const nlohmann::json& body) const;
  RewardItem item_of(const std::string& text, const std::string& prompt) const;

  const CurrentModel& model_;
  std::string header_;             ///< that the template puts in front of an answer; "" when it is not known
  std::vector<std::string> ends_;  ///< texts that end an answer and are no part of it
};

}  // namespace coala
