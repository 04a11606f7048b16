#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/generation_options.h"
#include "core/atomic_file.h"
#include "data/prompt_reader.h"
#include "decode/reply_file.h"
#include "decode/reply_lines.h"

namespace coala {

/// What a file of replies depends on. @param head  path of the head that guides; "": none does
nlohmann::ordered_json reply_origin(const GenerationOptions& options, Guidance guidance, const std::string& head,
                                    const BackboneIdentity& backbone, std::span<const PromptRecord> records,
                                    std::span<const EncodedPrompt> prompts);

/// One line per token that was drawn, on standard error: record, candidate, place, text, probability, score.
void print_trace(const std::string& id, std::size_t candidate, const Reply& reply, const Tokenizer& tokenizer);

/// Text that a model wrote, on the terminal: what could control the terminal is left out.
void print_text(std::string_view text);

/// Where replies go: a file, the object that is printed at the end, or standard output.
class ReplyWriter {
 public:
  /// @param collect  keep the lines for finish()
  explicit ReplyWriter(bool collect) : collect_(collect) {}

  /// Opens the file, or what takes replies as they come, a pipe or a device. @throws as ReplyFile, AtomicFile
  void open(const std::string& path, const nlohmann::ordered_json& origin, std::size_t lines_per_record);
  std::size_t records() const { return file_ ? file_->records() : 0; }  ///< that were written by an earlier run

  void write(std::vector<nlohmann::ordered_json>&& lines_of_record);
  /// @return  what was collected
  nlohmann::ordered_json finish();

 private:
  bool collect_;
  std::unique_ptr<ReplyFile> file_;
  std::unique_ptr<AtomicFile> stream_;
  nlohmann::ordered_json collected_ = nlohmann::ordered_json::array();
};

}  // namespace coala
