#pragma once

#include <span>
#include <string_view>

namespace coala {

/// What users of llama.cpp, Ollama, transformers and TRL call something, and what it is called here.
struct ForeignName {
  std::string_view theirs;  ///< without dashes; words of options parted by "-"
  std::string_view ours;    ///< without dashes
};

/// Of options. One of theirs may have several of ours: the command has one of them.
std::span<const ForeignName> foreign_options();
/// Of commands. One of theirs may be several of ours.
std::span<const ForeignName> foreign_commands();

}  // namespace coala
