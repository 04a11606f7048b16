#include "cli/reply_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/hash.h"
#include "core/messages.h"
#include "core/utf8.h"
#include "core/version.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

Json reply_origin(const GenerationOptions& options, Guidance guidance, const std::string& head,
                  const BackboneIdentity& backbone, std::span<const PromptRecord> records,
                  std::span<const EncodedPrompt> prompts) {
  Json origin{{"coala", kVersion},
              {"model", backbone.hash},
              {"adapter", backbone.adapter_hash + backbone.adapter_scale},
              {"head", head.empty() ? "" : hash_file(head)},
              {"data", prompts_hash(records, prompts)}};
  origin.update(settings_fields(options, guidance));
  return origin;
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
