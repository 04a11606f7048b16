#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string_view>

namespace coala {

/// Ctrl-C, SIGTERM and the end of the terminal (SIGHUP) set a flag that long work looks at between its steps. Work that
/// has not ended soon after, whatever it is in (a factorisation, a template, a pipe that nobody reads), is ended there;
/// so it is at once by a second signal. What is written to disk is whole or can be gone on with at any moment, so
/// nothing is lost by that. A signal that was ignored at the start stays ignored. SIGPIPE is ignored: who writes sees
/// the error.
void install_stop_handler();
/// How soon that is: 700 unless it is said, 1 at least. A server has others to answer first.
void set_stop_grace(int milliseconds) noexcept;
/// What is said when work is ended where it is: after "coala: ".
void set_last_words(std::string_view text) noexcept;

/// Is the end of the process asked for, or that of this thread's work (core/work_context.h)?
bool interrupted() noexcept;
/// For a conversation, in which Ctrl-C ends a reply and not the program: forgets a single one, at once. False, and
/// nothing is forgotten, when what was asked for is the end of the program.
bool forgive_interrupt() noexcept;
/// @throws Error{Interrupted}, without a hint: what is kept, the command knows
void throw_if_interrupted();

/// Something that must not outlive the process: if work is ended where it is, the file is removed, or the folder when
/// it is empty by then, or the group of processes is ended. In the order of their making, as long as there is room.
class EndsWithProcess {
 public:
  enum class Kind { File, Folder, Processes };
  EndsWithProcess(Kind kind, const std::filesystem::path& path) noexcept;
  explicit EndsWithProcess(pid_t group) noexcept;
  ~EndsWithProcess();
  EndsWithProcess(const EndsWithProcess&) = delete;
  EndsWithProcess& operator=(const EndsWithProcess&) = delete;

 private:
  int slot_ = -1;
};

}  // namespace coala
