#include "serve/reward_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "serve/operations.h"
#include "serve/request_error.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct ItemResult {
  std::optional<double> score;
  std::string error;  ///< why there is none
  std::size_t tokens = 0;
  bool truncated = false;
};

/// Orders are cancelled when nobody waits for them any more.
class Waiting {
 public:
  Waiting(ScoreQueue& queue, std::shared_ptr<ScoreQueue::Order> order) : queue_(queue), order_(std::move(order)) {
    queue_.submit(order_);
  }
  ~Waiting() { queue_.cancel(*order_); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  const std::vector<double>& scores(const Watch& watch) {
    while (!queue_.wait(*order_, Watch::kLook)) watch.check();
    return order_->scores;
  }

 private:
  ScoreQueue& queue_;
  std::shared_ptr<ScoreQueue::Order> order_;
};

Json number_of(const ItemResult& result) {
  return result.score ? Json(*result.score) : Json(nullptr);
}

/// What every shape says of an item beside its score.
Json with_marks(Json json, const ItemResult& result) {
  if (result.truncated) json["truncated"] = true;
  if (!result.score) json["error"] = result.error;
  return json;
}

}  // namespace

struct RewardAnswers::Scored {
  std::string head;
  const char* scale = "log-odds";
  std::vector<ItemResult> items;

  std::size_t tokens() const {
    return std::accumulate(items.begin(), items.end(), std::size_t{0},
                           [](std::size_t sum, const ItemResult& item) { return sum + item.tokens; });
  }
};

RewardAnswers::Scored RewardAnswers::score(RewardRequest request, const Watch& watch) {
  const ServedReward& reward = model_.rewards.at(request.head);
  Scored scored{request.head, request.normalized ? "probability" : "log-odds",
                std::vector<ItemResult>(request.items.size())};
  const auto order = std::make_shared<ScoreQueue::Order>();
  order->reward = &reward;
  std::vector<std::size_t> whose;
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    const RewardItem& item = request.items[i];
    ItemResult& result = scored.items[i];
    try {
      FeatureCounts counts;
      const std::array<std::string_view, 1> text{item.response};
      order->items.push_back(
          std::move(reward.scorer->extractor().encode(item.prompt, text, counts, {item.mode, request.cut}).front()));
      whose.push_back(i);
      result.tokens = order->items.back().tokens.size();
      result.truncated = counts.dropped_prompt_tokens + counts.dropped_response_tokens > 0;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
      result.error = error.what();
    }
  }
  if (!whose.empty()) {
    const std::vector<double>& scores = Waiting(queue_, order).scores(watch);
    for (std::size_t k = 0; k < whose.size(); ++k) {
      ItemResult& result = scored.items[whose[k]];
      if (std::isfinite(scores[k])) {
        result.score = request.normalized ? reward.head.probability(scores[k]) : scores[k];
      } else {
        result.error = "the score is not finite: the model's states are far outside of what the head was trained on";
      }
    }
  }
  metrics_.scored_tokens(scored.tokens());
  if (std::ranges::none_of(scored.items, [](const ItemResult& item) { return item.score.has_value(); })) {
    throw RequestError(400, "no_item_scored", scored.items.front().error);
  }
  return scored;
}

nlohmann::ordered_json RewardAnswers::answer(std::string_view path, const nlohmann::json& json, const Watch& watch) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  const bool reranks = name == "rerank", rewards = name == "get_reward", scores = name == "score";
  const Scored scored = score(reranks   ? parser_.parse_rerank(json)
                              : rewards ? parser_.parse_queries(json)
                              : scores  ? parser_.parse_score(json)
                                        : parser_.parse_inputs(json),
                              watch);
  const std::vector<ItemResult>& items = scored.items;
  const std::int64_t created = std::time(nullptr);
  const Json told{{"head", scored.head}, {"digest", model_.rewards.at(scored.head).digest}, {"scale", scored.scale}};
  const Json usage{{"prompt_tokens", scored.tokens()}, {"completion_tokens", 0}, {"total_tokens", scored.tokens()}};
  const auto complete = [&](Json answer) {
    answer["usage"] = usage;
    answer["coala"] = told;
    return answer;
  };
  Json answer{{"id", fmt::format("{}-{}-{}", name, created, ++asked_)},
              {"object", "list"},
              {"created", created},
              {"model", model_.name + "+" + scored.head}};
  Json list = Json::array();
  if (name == "classify" && field(json, "text") != nullptr) {  // SGLang's
    for (const ItemResult& item : items) {
      list.push_back(with_marks({{"embedding", Json::array({number_of(item)})}, {"scale", scored.scale}}, item));
    }
    return list;
  }
  if (rewards) {
    Json numbers = Json::array(), truncated = Json::array(), tokens = Json::array(), errors = Json::array();
    for (std::size_t i = 0; i < items.size(); ++i) {
      numbers.push_back(number_of(items[i]));
      truncated.push_back(items[i].truncated ? 1 : 0);
      tokens.push_back(items[i].tokens);
      if (!items[i].score) errors.push_back({{"index", i}, {"message", items[i].error}});
    }
    answer["rewards"] = answer["scores"] = numbers;
    answer["extra_logs"] = {{"truncated", truncated}, {"tokens", tokens}};
    if (!errors.empty()) answer["errors"] = errors;
    return complete(answer);
  }
  if (!reranks) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      Json one{{"index", i}};
      if (scores) {
        one["object"] = "score";
        one["score"] = number_of(items[i]);
      } else if (name == "pooling") {
        one["object"] = "pooling";
        one["data"] = Json::array({number_of(items[i])});
      } else {
        one["label"] = "LABEL_0";
        one["probs"] = Json::array({number_of(items[i])});
        one["num_classes"] = 1;
      }
      list.push_back(with_marks(std::move(one), items[i]));
    }
    answer["data"] = list;
    return complete(answer);
  }
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Json errors = Json::array();
  std::erase_if(order, [&](std::size_t i) {
    if (!items[i].score) errors.push_back({{"index", i}, {"message", items[i].error}});
    return !items[i].score;
  });
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return *items[i].score; });
  if (const nlohmann::json* most = field(json, "top_n")) order.resize(std::min(order.size(), most->get<std::size_t>()));
  const nlohmann::json* returns = field(json, "return_documents");
  for (const std::size_t i : order) {
    Json one = with_marks({{"index", i}, {"relevance_score", number_of(items[i])}}, items[i]);
    if (returns != nullptr && returns->get<bool>()) {
      const nlohmann::json& document = json["documents"][i];
      one["document"] = {{"text", document.is_object() ? Json(document["text"]) : Json(document)}};
    }
    list.push_back(std::move(one));
  }
  answer["results"] = list;
  if (!errors.empty()) answer["errors"] = errors;
  answer["meta"] = {{"billed_units", {{"total_tokens", scored.tokens()}}}};
  return complete(answer);
}

}  // namespace coala
