#include "data/record.h"

#include <fmt/format.h>

namespace coala {

std::string Prompt::key() const {
  // Lengths in front of every part: no content can imitate a boundary.
  std::string key = fmt::format("{}:{}", text.size(), text);
  for (const Message& message : messages) {
    key += fmt::format("|{}:{}{}:{}", message.role.size(), message.role, message.content.size(), message.content);
  }
  return key;
}

}  // namespace coala
