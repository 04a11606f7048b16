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
  std::string digest;  ///< of the head's file
  const char* scale = "log-odds";
  std::vector<ItemResult> items;

  std::size_t tokens() const {
    return std::accumulate(items.begin(), items.end(), std::size_t{0},
                           [](std::size_t sum, const ItemResult& item) { return sum + item.tokens; });
  }
};

RewardAnswers::Scored RewardAnswers::score(RewardRequest request, const Watch& watch) {
  const ServedReward& reward = *request.reward;
  Scored scored{request.head, reward.digest, request.normalized ? "probability" : "log-odds",
                std::vector<ItemResult>(request.items.size())};
  const auto order = std::make_shared<ScoreQueue::Order>();
  order->reward = request.reward;
  std::vector<std::size_t> whose;
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    watch.check();
    const RewardItem& item = request.items[i];
    ItemResult& result = scored.items[i];
    result.error = item.error;
    if (!item.error.empty()) continue;
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

namespace {

/// vLLM's lists: "score", "pooling", "classify".
Json data_of(std::string_view shape, const std::vector<ItemResult>& items) {
  Json data = Json::array();
  for (std::size_t i = 0; i < items.size(); ++i) {
    Json one{{"index", i}};
    if (shape == "score") {
      one["object"] = "score";
      one["score"] = number_of(items[i]);
    } else if (shape == "pooling") {
      one["object"] = "pooling";
      one["data"] = Json::array({number_of(items[i])});
    } else {
      one["label"] = "LABEL_0";
      one["probs"] = Json::array({number_of(items[i])});
      one["num_classes"] = 1;
    }
    data.push_back(with_marks(std::move(one), items[i]));
  }
  return data;
}

/// SGLang's list.
Json embeddings_of(const std::vector<ItemResult>& items, const char* scale) {
  Json list = Json::array();
  for (const ItemResult& item : items) {
    list.push_back(with_marks({{"embedding", Json::array({number_of(item)})}, {"scale", scale}}, item));
  }
  return list;
}

/// Adds what OpenRLHF reads: numbers alone, which it makes tensors of.
void add_rewards(const std::vector<ItemResult>& items, Json& answer) {
  Json numbers = Json::array(), truncated = Json::array(), tokens = Json::array();
  for (const ItemResult& item : items) {
    numbers.push_back(number_of(item));
    truncated.push_back(item.truncated ? 1 : 0);
    tokens.push_back(item.tokens);
  }
  answer["rewards"] = numbers;
  answer["scores"] = numbers;
  answer["extra_logs"] = {{"truncated", truncated}, {"tokens", tokens}};
}

/// Adds the documents that have scores, the best first.
void add_results(const std::vector<ItemResult>& items, const nlohmann::json& body, Json& answer) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t i) { return !items[i].score; });
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) { return *items[i].score; });
  if (const nlohmann::json* most = field(body, "top_n")) order.resize(std::min(order.size(), most->get<std::size_t>()));
  const nlohmann::json* returns = field(body, "return_documents");
  answer["results"] = Json::array();
  for (const std::size_t i : order) {
    Json one = with_marks({{"index", i}, {"relevance_score", *items[i].score}}, items[i]);
    if (returns != nullptr && returns->get<bool>()) {
      const nlohmann::json& document = body["documents"][i];
      one["document"] = {{"text", document.is_object() ? Json(document["text"]) : Json(document)}};
    }
    answer["results"].push_back(std::move(one));
  }
}

/// Adds the items without a score, for shapes that have no place for them.
void add_errors(const std::vector<ItemResult>& items, Json& answer) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].score) answer["errors"].push_back({{"index", i}, {"message", items[i].error}});
  }
}

}  // namespace

nlohmann::ordered_json RewardAnswers::answer(std::string_view path, const nlohmann::json& body, const Watch& watch) {
  const std::string_view shape = path.substr(path.rfind('/') + 1);
  const Scored scored = score(shape == "rerank"       ? parser_.parse_rerank(body)
                              : shape == "get_reward" ? parser_.parse_queries(body)
                              : shape == "score"      ? parser_.parse_score(body)
                                                      : parser_.parse_inputs(body),
                              watch);
  if (shape == "classify" && field(body, "text") != nullptr) return embeddings_of(scored.items, scored.scale);
  const std::int64_t created = std::time(nullptr);
  Json answer{{"id", fmt::format("{}-{}-{}", shape, created, ++asked_)},
              {"object", "list"},
              {"created", created},
              {"model", model_.get()->name + "+" + scored.head}};
  if (shape == "rerank") {
    add_results(scored.items, body, answer);
    add_errors(scored.items, answer);
    answer["meta"] = {{"billed_units", {{"total_tokens", scored.tokens()}}}};
  } else if (shape == "get_reward") {
    add_rewards(scored.items, answer);
    add_errors(scored.items, answer);
  } else {
    answer["data"] = data_of(shape, scored.items);
  }
  answer["usage"] = {{"prompt_tokens", scored.tokens()}, {"completion_tokens", 0}, {"total_tokens", scored.tokens()}};
  answer["coala"] = {{"head", scored.head}, {"digest", scored.digest}, {"scale", scored.scale}};
  return answer;
}

}  // namespace coala
