#include "cli/reply_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/hash.h"
#include "core/messages.h"
#include "core/utf8.h"
#include "core/version.h"
#include "judge/judge.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

Json reply_fields(const Reply& reply, const Head* head) {
  Json fields{{"text", reply.text},
              {"tokens", reply.tokens.size()},
              {"finish", finish_name(reply.finish)},
              {"log_probability", reply.log_probability},
              {"log_probability_tokens", reply.log_probability_tokens},
              {"entropy", reply.entropy}};
  if (reply.divergence > 0) fields["divergence"] = reply.divergence;
  if (!reply.reasoning.empty()) fields["reasoning"] = reply.reasoning;
  if (reply.score) {
    fields["score"] = *reply.score;
    fields["probability"] = head->probability(*reply.score);
  }
  return fields;
}

}  // namespace

std::string one_line(const Json& line) {
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string hash_of(std::span<const PromptRecord> records, std::span<const EncodedPrompt> prompts) {
  Hasher hasher;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    hasher.add(records[i].id).add(static_cast<std::int64_t>(prompts[i].tokens.size()));
    hasher.add(prompts[i].tokens.data(), prompts[i].tokens.size() * sizeof(Token));
  }
  return hasher.hex();
}

Json prompt_fields(const Prompt& prompt) {
  if (prompt.messages.empty() && prompt.text.empty()) return Json::object();
  return {{prompt.messages.empty() ? "prefix" : "prompt", prompt_json(prompt)}};
}

Json reply_line(const PromptRecord& record, const Reply& reply, const Head* head, std::size_t candidate,
                std::size_t sample) {
  Json line{{"id", record.id}};
  line.update(prompt_fields(record.prompt));
  line.update(reply_fields(reply, head));
  line["candidate"] = candidate;
  line["sample"] = sample;
  return line;
}

Json reply_origin(const GenerationOptions& options, Guidance guidance, const std::string& head,
                  const BackboneIdentity& backbone, std::span<const PromptRecord> records,
                  std::span<const EncodedPrompt> prompts) {
  Json origin{{"coala", kVersion},
              {"model", backbone.hash},
              {"adapter", backbone.adapter_hash + backbone.adapter_scale},
              {"head", head.empty() ? "" : hash_file(head)},
              {"data", hash_of(records, prompts)}};
  origin.update(settings_fields(options, guidance));
  return origin;
}

Json candidate_list(std::span<const Reply> candidates, const Head* head) {
  Json list = Json::array();
  for (const Reply& candidate : candidates) list.push_back(reply_fields(candidate, head));
  return list;
}

void print_trace(const std::string& id, std::size_t candidate, const Reply& reply, const Tokenizer& tokenizer) {
  for (std::size_t t = 0; t < reply.trace.size(); ++t) {
    const DrawnToken& drawn = reply.trace[t];
    const std::string text =
        tokenizer.is_end(drawn.token) ? "(end)" : quoted_text(tokenizer.decode({&drawn.token, 1}, /*at_start=*/false));
    const std::string score = drawn.score ? fmt::format(" score {:.6g}", *drawn.score) : "";
    write_message(fmt::format("{} {} {} {} probability {:.6f}{}\n", printable(id), candidate, t + 1, text,
                              std::exp(drawn.log_probability), score));
  }
}

void print_text(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const bool wanted = text[0] == '\n' || text[0] == '\t';
    const std::size_t control = wanted ? 0 : control_length(text);
    if (control == 0) shown += text[0];
    text.remove_prefix(std::max<std::size_t>(control, 1));
  }
  fmt::print("{}", shown);
  std::fflush(stdout);
}

void ReplyWriter::open(const std::string& path, const Json& origin, std::size_t lines_per_record) {
  if (is_written_through(path)) {
    stream_ = std::make_unique<AtomicFile>(path);
    return;
  }
  file_ = std::make_unique<ReplyFile>(path, origin, lines_per_record);
  for (const std::string& line : file_->lines()) {
    if (collect_) collected_.push_back(Json::parse(line));
  }
}

void ReplyWriter::write(std::vector<Json>&& lines_of_record) {
  std::string lines;
  for (const Json& line : lines_of_record) lines += one_line(line);
  if (file_) file_->write(lines);
  if (stream_) stream_->write(lines);
  if (!file_ && !stream_ && !collect_) {
    fmt::print("{}", lines);
    std::fflush(stdout);
  }
  for (Json& line : lines_of_record) {
    if (collect_) collected_.push_back(std::move(line));
  }
}

Json ReplyWriter::finish() {
  if (file_) file_->finish();
  if (stream_) stream_->commit();
  return std::move(collected_);
}

}  // namespace coala
