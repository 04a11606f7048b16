#include "data/table_converter.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"

extern char** environ;  // NOLINT: POSIX declares it nowhere

namespace coala {
namespace {

constexpr int kNoPackage = 3;  ///< exit status of the script

/// Missing numbers are NaN in many tables; JSON has no such thing, and coala reads null as missing. Bytes (pictures)
/// and dates become a note and a text: their columns are refused or ignored by name.
constexpr const char* kScript = R"(
import sys
sys.path = [entry for entry in sys.path if entry]
try:
    import pyarrow, pyarrow.ipc, pyarrow.parquet
except ImportError as error:
    sys.stderr.write(str(error))
    sys.exit(3)
import json, math
path = sys.argv[1]
def batches():
    with open(path, "rb") as file:
        magic = file.read(6)
    if magic[:4] == b"PAR1":
        yield from pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=4096)
    elif magic == b"ARROW1":
        reader = pyarrow.ipc.open_file(path)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
    else:
        yield from pyarrow.ipc.open_stream(path)
def other(value):
    if not isinstance(value, (bytes, bytearray)):
        return str(value)
    try:
        return value.decode("utf-8")  # texts whose writer has not said that they are
    except UnicodeDecodeError:
        return {"bytes": "<%d bytes>" % len(value)}  # no text
def finite(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list) else value
plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=other).encode
def line(row):
    try:
        return plain(row)
    except ValueError:
        return plain(finite(row))
out = sys.stdout.buffer
try:
    for batch in batches():
        for start in range(0, batch.num_rows, 128):
            rows = batch.slice(start, 128).to_pylist()
            out.write(("\n".join(map(line, rows)) + "\n").encode("utf-8", "replace"))
    out.flush()
except BrokenPipeError:
    sys.exit(0)
except Exception as error:
    sys.stderr.write("%s: %s" % (type(error).__name__, error))
    sys.exit(1)
)";

void close_pipe(std::array<int, 2>& ends) {
  for (int& end : ends) {
    if (end >= 0) ::close(std::exchange(end, -1));
  }
}

}  // namespace

bool is_table(std::string_view start) {
  return start.starts_with("PAR1") || start.starts_with("ARROW1") || start.starts_with("\xff\xff\xff\xff");
}

TableConverter::TableConverter(const std::filesystem::path& path) : path_(path) {
  const char* own = std::getenv("COALA_PYTHON");
  std::string python = own != nullptr && *own != '\0' ? own : "python3";
  std::string script = kScript;
  std::string file = std::filesystem::absolute(path).string();
  std::string option = "-c";
  std::array<char*, 5> arguments{python.data(), option.data(), script.data(), file.data(), nullptr};

  std::array<int, 2> output{-1, -1};
  std::array<int, 2> errors{-1, -1};
  if (::pipe2(output.data(), O_CLOEXEC) != 0 || ::pipe2(errors.data(), O_CLOEXEC) != 0) {
    const int error = errno;
    close_pipe(output);
    throw Error(ErrorCode::Io, fmt::format("cannot make a pipe: {}", std::strerror(error)));
  }
  // Room for some hundred rows, so that both sides work at the same time; what the system does not give is not needed.
  constexpr int kPipeBytes = 1 << 20;
  ::fcntl(output[0], F_SETPIPE_SZ, kPipeBytes);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t usual;
  ::sigemptyset(&usual);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::sigaddset(&usual, signal);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  const int error = ::posix_spawnp(&child_, python.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  output_ = std::exchange(output[0], -1);
  errors_ = std::exchange(errors[0], -1);
  close_pipe(output);
  close_pipe(errors);
  if (error == 0) {
    ends_.emplace(child_);
    return;
  }
  child_ = -1;
  ::close(output_);
  ::close(errors_);
  throw Error(ErrorCode::NotBuilt,
              fmt::format("{} is a table, and '{}' cannot be started to read it: {}", path_.string(), python,
                          std::strerror(error)),
              "install Python 3 and its package pyarrow; COALA_PYTHON names another Python");
}

TableConverter::~TableConverter() {
  ::close(output_);
  ::close(errors_);
  if (child_ < 0) return;
  ::kill(-child_, SIGKILL);
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
}

/// What it has written to its standard error, the end of it.
std::string TableConverter::complaint() {
  std::string text(4096, '\0');
  ssize_t got = 0;
  do {
    got = ::read(errors_, text.data(), text.size());
  } while (got < 0 && errno == EINTR);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

void TableConverter::finish() {
  if (child_ < 0) return;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(child_, &status, 0)) < 0 && errno == EINTR) {
  }
  child_ = -1;
  ends_.reset();
  if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  const std::string said = complaint();
  constexpr int kNotFound = 127;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  if (code == kNoPackage || code == kNotFound) {
    throw Error(ErrorCode::NotBuilt,
                fmt::format("{} is a parquet or Arrow file, which is read with Python's pyarrow: {}", path_.string(),
                            said.empty() ? "there is no Python" : quoted_text(said, 200)),
                "pip install pyarrow (COALA_PYTHON names the Python that has it), or convert the file to JSON lines");
  }
  throw Error(ErrorCode::CorruptFile,
              fmt::format("{} cannot be read as a table: {}", path_.string(), quoted_text(said, 300)),
              "fetch or write the file again");
}

}  // namespace coala
