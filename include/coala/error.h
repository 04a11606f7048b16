#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "coala/api.h"

namespace coala {

/// What kind of thing went wrong; decides the exit status of the program and the HTTP status of a server.
enum class ErrorCode {
  BadUsage,     ///< an option or setting is missing, unknown or out of range
  BadInput,     ///< the content of an input is not what it must be (shape, encoding, NaN, empty)
  CorruptFile,  ///< a file is damaged: truncated, inconsistent or not of its format
  Mismatch,     ///< two inputs do not belong together (a head and a model, a feature file and a head)
  Io,           ///< the operating system refused an operation (disk full, permission)
  NotBuilt,     ///< this build lacks the part that is asked for
  OutOfMemory,  ///< an allocation failed
  Interrupted,  ///< the user asked to stop; what was finished is kept
  Internal,     ///< a defect of coala itself
};

/// The one exception type of the library. The message says where, what was found and what was expected;
/// the hint says what the user can do now. Both are printable, whatever names and values they quote: nothing in a file
/// can send an order to a terminal, or cut a message off. The library never prints, aborts or exits.
class COALA_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, std::string_view message, std::string_view hint = {});

  ErrorCode code() const noexcept { return code_; }
  const std::string& hint() const noexcept { return hint_; }

 private:
  ErrorCode code_;
  std::string hint_;
};

/// "bad input", "corrupt file", ...: the word that starts the message a user sees.
COALA_API const char* error_name(ErrorCode code) noexcept;

}  // namespace coala
