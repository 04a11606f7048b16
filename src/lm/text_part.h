#pragma once

#include <string>

namespace coala {

/// A piece of a rendered conversation. Control tokens are recognised in the template's own text only: a user who
/// writes "<|im_end|>" gets these characters, not the token.
struct TextPart {
  std::string text;
  bool from_user = false;
};

}  // namespace coala
