#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lm/child_process.h"
#include "lm/text_part.h"

namespace coala {

/// A conversation as a template gets it.
struct TemplateRequest {
  struct Turn {
    std::string role;
    bool role_is_text = false;  ///< of a user, and not a word that names a part
    std::string content;
  };
  std::vector<Turn> turns;
  bool generation_prompt = false;
  bool thinks = false;
  std::string thoughts;  ///< of the last turn, an answer; "": none
};

/// Renders conversations with a Jinja template in a process of its own, by llama.cpp's engine: a template is a program
/// out of a file that somebody else made, and may loop, recurse or grow without end with any conversation. A
/// conversation has five seconds of CPU time, 256 MB and 16 MB of output.
class TemplateProcess {
 public:
  /// @throws Error{BadInput} with the reason when the template cannot be parsed, or does not come to an end
  TemplateProcess(std::string source, std::string bos, std::string eos);

  bool supports_system_role() const { return supports_system_role_; }
  /// Has a conversation ended the process, or taken too long?
  bool has_failed() const { return failed_; }

  /// Any thread; one conversation at a time.
  /// @throws Error{BadInput} with the template's reason when it refuses the conversation
  std::vector<TextPart> render(const TemplateRequest& request) const;

 private:
  void start() const;
  ChildProcess::Received try_to_ask(const std::string& question, std::string& answer) const;
  std::string ask(const std::string& question) const;

  std::string source_, bos_, eos_;
  bool supports_system_role_ = true;
  mutable std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  mutable std::unique_ptr<ChildProcess> process_;
};

}  // namespace coala
