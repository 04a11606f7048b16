#include "tally/reply_rows.h"

#include <fmt/format.h>

#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/utf8.h"
#include "tally/annotations.h"

namespace coala {
namespace {

/// The first of some columns that is there.
const nlohmann::json* column(const Annotation& line, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto value = line.object.find(name);
    if (value != line.object.end() && !value->is_null()) return &*value;
  }
  return nullptr;
}

/// A prompt in the shapes of prompt files (data/prompt_reader.h): "prefix" is continued word for word, any other text
/// is what a user says.
Prompt prompt_of(const Annotation& line) {
  const nlohmann::json* const value = column(line, {"prompt", "instruction", "prefix", "messages"});
  if (value == nullptr) fail_at(line, "there is no prompt (prompt, instruction or prefix)");
  if (value->is_string()) {
    if (value == column(line, {"prompt", "instruction"})) return {{{"user", value->get<std::string>()}}, {}};
    return {{}, value->get<std::string>()};
  }
  if (!value->is_array() || value->empty()) fail_at(line, "the prompt is neither a text nor messages");
  Prompt prompt;
  for (const nlohmann::json& message : *value) {
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string() ||
        !message.contains("content") || !message["content"].is_string()) {
      fail_at(line, "a message of the prompt is no {\"role\", \"content\"}");
    }
    prompt.messages.push_back({message["role"].get<std::string>(), message["content"].get<std::string>()});
  }
  return prompt;
}

/// All turns one after the other; the same for a text and for one message of the user.
std::string shown(const Prompt& prompt) {
  if (prompt.messages.empty()) return prompt.text;
  if (prompt.messages.size() == 1 && prompt.messages[0].role == "user") return prompt.messages[0].content;
  std::string text;
  for (const Message& message : prompt.messages) {
    text += fmt::format("{}[{}]\n{}", text.empty() ? "" : "\n\n", message.role, message.content);
  }
  return text;
}

std::string reply_of(const Annotation& line) {
  const nlohmann::json* const value = column(line, {"text", "response", "output", "reply"});
  if (value == nullptr || !value->is_string()) fail_at(line, "there is no reply (text, response, output or reply)");
  return value->get<std::string>();
}

struct Reply {
  std::string id, text;
};

/// Replies by prompt, prompts in the order of the file.
struct ReplySource {
  std::vector<std::string> prompts;
  std::map<std::string, Prompt> asked;  ///< as it is in the first line that has it
  std::map<std::string, std::vector<Reply>> replies;

  explicit ReplySource(const std::filesystem::path& path) {
    for (const Annotation& line : read_annotations({path})) {
      Prompt as_it_is = prompt_of(line);
      const std::string prompt = shown(as_it_is);
      std::vector<Reply>& list = replies[prompt];
      if (list.empty()) {
        prompts.push_back(prompt);
        asked.emplace(prompt, std::move(as_it_is));
      }
      list.push_back({line.object.contains("id") ? id_of(line, "id") : line.place, reply_of(line)});
    }
  }
};

}  // namespace

std::vector<ReplyRow> read_reply_rows(const std::vector<std::filesystem::path>& files) {
  const std::vector<ReplySource> sources(files.begin(), files.end());
  const ReplySource& first = sources.front();
  std::vector<ReplyRow> rows;
  for (const std::string& prompt : first.prompts) {
    const std::vector<Reply>& replies = first.replies.at(prompt);
    const std::size_t begin = rows.size();
    for (std::size_t k = 0; k < replies.size(); ++k) {
      rows.push_back({replies[k].id, prompt, {replies[k].text}, k, first.asked.at(prompt)});
    }
    for (std::size_t s = 1; s < sources.size(); ++s) {
      const auto theirs = sources[s].replies.find(prompt);
      const std::size_t count = theirs == sources[s].replies.end() ? 0 : theirs->second.size();
      if (count != replies.size()) {
        throw Error(ErrorCode::Mismatch,
                    fmt::format("{} has {} replies to {}, {} has {}", files[0].string(), replies.size(),
                                quoted_text(prompt), files[s].string(), count),
                    "compare replies to the same prompts");
      }
      for (std::size_t k = 0; k < count; ++k) rows[begin + k].replies.push_back(theirs->second[k].text);
    }
  }
  for (std::size_t s = 1; s < sources.size(); ++s) {
    if (sources[s].replies.size() == first.replies.size()) continue;
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} answers {} prompts, {} only {} of them", files[s].string(), sources[s].replies.size(),
                            files[0].string(), first.replies.size()),
                "compare replies to the same prompts");
  }
  return rows;
}

}  // namespace coala
