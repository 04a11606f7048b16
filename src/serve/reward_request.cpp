#include "serve/reward_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/utf8.h"
#include "serve/operations.h"
#include "serve/request_error.h"
#include "serve/request_parser.h"

namespace coala {
namespace {

using nlohmann::json;

std::vector<std::string> texts_of(const json& value) {
  std::vector<std::string> texts;
  for (const json& one : value.is_array() ? value : json::array({value})) {
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

/// A field under one of its names. @throws RequestError
const json& either(const json& body, const char* name, const char* other) {
  for (const char* one : {name, other}) {
    if (const json* value = field(body, one)) return *value;
  }
  throw RequestError(400, "missing_required_parameter", fmt::format("\"{}\" is missing", name), name);
}

/// One query goes with every document, and each pair is a text of its own.
/// @throws RequestError when they are too large together
void check_size(const std::string& query, std::size_t documents) {
  constexpr std::size_t kMost_bytes = std::size_t{64} << 20;
  if (query.size() <= kMost_bytes / std::max<std::size_t>(documents, 1)) return;
  throw RequestError(413, "body_too_large",
                     fmt::format("a query of {} bytes goes with each of {} documents: more than {} MB to read",
                                 query.size(), documents, kMost_bytes >> 20),
                     "documents", "send fewer documents at a time");
}

RewardItem answer_to(const std::string& query, const json& document) {
  RewardItem item;
  item.prompt.messages = {{"user", query}};
  const json* const text = document.is_object() ? field(document, "text") : &document;
  if (text != nullptr && text->is_string()) {
    item.response = text->get<std::string>();
  } else {
    item.error = "the document is neither a text nor an object with one";
  }
  return item;
}

RewardItem end_of(const json& conversation, const std::string& where) {
  RewardItem item;
  item.prompt.messages = messages_of(conversation, where);
  if (item.prompt.messages.back().role != "assistant") {
    throw RequestError(400, "invalid_value", fmt::format("\"{}\" ends with no answer of the assistant", where), where,
                       "the last message is what is scored");
  }
  item.response = std::move(item.prompt.messages.back().content);
  item.prompt.messages.pop_back();
  return item;
}

}  // namespace

RewardParser::RewardParser(const CurrentModel& model) : model_(model) {
  const Backbone& backbone = model.get()->backbone;
  const Tokenizer& tokenizer = backbone.tokenizer();
  ends_.push_back(tokenizer.eos_text());
  try {
    const ChatTemplate& chat = backbone.chat_template();
    ends_.push_back(chat.turn_end());
    const std::vector<TextPart> parts = chat.render_prompt({{"user", "x"}});
    for (auto part = parts.rbegin(); part != parts.rend() && !part->from_user; ++part) header_ = part->text + header_;
    // What ends the user's turn may come between any two.
    if (header_.starts_with(chat.turn_end())) header_.erase(0, chat.turn_end().size());
  } catch (const Error&) {
    header_.clear();  // the template cannot be used: texts are taken as responses
  }
  for (std::string& end : ends_) end = std::string(trimmed(end));
  std::erase(ends_, "");
}

/// A text that somebody else's template has rendered, taken apart where the answer begins.
/// @param prompt  its beginning, if that is known
RewardItem RewardParser::item_of(const std::string& text, const std::string& prompt) const {
  std::size_t begin = 0;
  if (!prompt.empty() && text.starts_with(prompt)) {
    begin = prompt.size();
  } else if (const std::size_t at = text.rfind(header_); !header_.empty() && at != std::string::npos) {
    begin = at + header_.size();
  }
  RewardItem item;
  item.mode = TemplateMode::Parsed;
  item.prompt.text = text.substr(0, begin);
  std::string_view response = std::string_view(text).substr(begin);
  for (bool again = true; again;) {
    again = false;
    const std::string_view bare = response.substr(0, response.find_last_not_of(" \t\r\n") + 1);
    for (const std::string& end : ends_) {
      if (!bare.ends_with(end)) continue;
      response = bare.substr(0, bare.size() - end.size());
      again = true;
      break;
    }
  }
  item.response = std::string(response);
  return item;
}

RewardRequest RewardParser::parse_common(const json& body) const {
  RewardRequest request;
  const json* asked = field(body, "model");
  const std::shared_ptr<const ServedModel> model = model_.get();
  request.head = model->reward_name(asked == nullptr ? std::string() : asked->get<std::string>());
  request.reward = model->rewards.at(request.head);
  for (const char* name : {"normalize", "use_activation"}) {
    if (const json* value = field(body, name)) request.normalized = request.normalized || value->get<bool>();
  }
  if (const json* truncate = field(body, "truncate")) {
    request.cut = *truncate == "left"                         ? Cut::Left
                  : *truncate == "right"                      ? Cut::Right
                  : *truncate == "none" || *truncate == false ? Cut::None
                                                              : Cut::Fit;
  }
  return request;
}

RewardRequest RewardParser::parse_score(const json& body) const {
  RewardRequest request = parse_common(body);
  const std::vector<std::string> queries = texts_of(either(body, "queries", "text_1"));
  const json& given = either(body, "documents", "text_2");
  const json one = given.is_array() ? json() : json::array({given});
  const json& documents = given.is_array() ? given : one;
  if (queries.size() != 1 && queries.size() != documents.size()) {
    throw RequestError(400, "invalid_value",
                       fmt::format("there are {} queries and {} documents", queries.size(), documents.size()),
                       "queries", "send one query, or one for each document");
  }
  if (queries.size() == 1) check_size(queries.front(), documents.size());
  for (std::size_t i = 0; i < documents.size(); ++i) {
    request.items.push_back(answer_to(queries[queries.size() == 1 ? 0 : i], documents[i]));
  }
  return request;
}

RewardRequest RewardParser::parse_rerank(const json& body) const {
  RewardRequest request = parse_common(body);
  const std::string query = body["query"].get<std::string>();
  const json& documents = body["documents"];
  check_size(query, documents.size());
  for (const json& document : documents) request.items.push_back(answer_to(query, document));
  return request;
}

RewardRequest RewardParser::parse_queries(const json& body) const {
  RewardRequest request = parse_common(body);
  const std::vector<std::string> queries = texts_of(body["query"]);
  const json* given = field(body, "prompts");
  const std::vector<std::string> prompts = given == nullptr ? std::vector<std::string>() : texts_of(*given);
  if (given != nullptr && prompts.size() != queries.size()) {
    throw RequestError(400, "invalid_value",
                       fmt::format("there are {} prompts and {} queries", prompts.size(), queries.size()), "prompts",
                       "send one for each query, or none");
  }
  for (std::size_t i = 0; i < queries.size(); ++i) {
    request.items.push_back(item_of(queries[i], given == nullptr ? "" : prompts[i]));
  }
  return request;
}

RewardRequest RewardParser::parse_inputs(const json& body) const {
  RewardRequest request = parse_common(body);
  if (const json* conversations = field(body, "messages")) {
    if ((*conversations)[0].is_object()) {
      request.items.push_back(end_of(*conversations, "messages"));
    } else {
      for (std::size_t i = 0; i < conversations->size(); ++i) {
        request.items.push_back(end_of((*conversations)[i], fmt::format("messages[{}]", i)));
      }
    }
    return request;
  }
  for (const std::string& text : texts_of(either(body, "input", "text"))) request.items.push_back(item_of(text, ""));
  return request;
}

}  // namespace coala
