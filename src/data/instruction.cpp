#include "data/instruction.h"

#include "core/error.h"

namespace coala {

Prompt instructed(const Prompt& prompt, const std::string& instruction) {
  if (prompt.messages.empty()) {
    throw Error(ErrorCode::BadInput, "an instruction needs a question or messages, and this is a text to be continued",
                "leave the instruction out, or put it into the text");
  }
  Prompt result = prompt;
  if (result.messages.front().role == "system") {
    result.messages.front().content += "\n" + instruction;
  } else {
    result.messages.insert(result.messages.begin(), Message{"system", instruction});
  }
  return result;
}

}  // namespace coala
