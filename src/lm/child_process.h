#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace coala {

/// How long an answer is waited for.
struct Patience {
  std::chrono::milliseconds in_all;
  /// Of the child's own CPU time, so that other programs do not shorten it.
  std::chrono::milliseconds computing;
  /// Without any CPU time: longer than the child may wait for anything but a lock.
  std::chrono::milliseconds stall{2000};
};

/// A child process with little memory, for code that is not ours on input that is not ours: a stack overflow, an
/// assertion or an endless loop ends the child, and not this process. It and this process exchange messages. What
/// happens to the child's memory is not seen here.
///
/// The child is a copy of this process without its other threads. A lock that one of them held at that moment is held
/// in the child for good: it may stall, and is made anew then (answer_of_child).
class ChildProcess {
 public:
  using Clock = std::chrono::steady_clock;
  /// The child's side of the exchange.
  class Port {
   public:
    /// @param present_bytes  memory of the process before its action
    Port(int in, int out, std::uint64_t present_bytes) : in_(in), out_(out), present_bytes_(present_bytes) {}
    /// Narrows what may be taken beyond what the process had at first, or widens it up to what it was made with.
    void allow(std::size_t memory_bytes) const;
    /// The next message; false when there will be none.
    bool receive(std::string& message) const;
    void send(std::string_view message) const;
    int out() const { return out_; }

   private:
    int in_, out_;
    std::uint64_t present_bytes_;
  };

  /// @param memory_bytes  beyond what this process has already; running out of it ends the child
  /// @param action        runs in the child, which ends with it, whatever it throws
  /// @throws Error{Io} when there is no process to be had
  ChildProcess(std::size_t memory_bytes, const std::function<void(const Port&)>& action);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void send(std::string_view message) const;
  enum class Received { Message, Ended, TooLate, Stalled };
  /// @throws Error{Interrupted}
  Received receive(std::string& message, const Patience& patience) const;
  /// Waits for a child that has ended; what ended it: "" for its own end, else such as "signal 11".
  std::string end() const;

 private:
  pid_t child_ = -1;
  int to_child_ = -1, from_child_ = -1;
};

/// What a child answers, which is made anew, twice at most, when it stalls.
/// @param ask  makes a child if there is none that lives, asks it, and says what it received
ChildProcess::Received answer_of_child(const std::function<ChildProcess::Received()>& ask);

/// A message of several texts.
class MessageWriter {
 public:
  MessageWriter& add(std::string_view text);
  MessageWriter& add_flag(bool value) { return add(value ? "1" : "0"); }
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

class MessageReader {
 public:
  explicit MessageReader(std::string_view message) : rest_(message) {}
  bool at_end() const { return rest_.empty(); }
  std::string text();
  bool flag() { return text() == "1"; }

 private:
  std::string_view rest_;
};

}  // namespace coala
