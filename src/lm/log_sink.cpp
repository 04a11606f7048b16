#include "lm/log_sink.h"

#include <llama.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <mutex>

#include "core/error.h"

namespace coala {
namespace {

// Of the calling thread: while one thread loads a model, others decode, and each has its own reasons.
thread_local std::string g_first_error;
thread_local std::vector<std::string> g_warnings;
thread_local std::string g_current;  ///< a line that is not complete yet
thread_local ggml_log_level g_level = GGML_LOG_LEVEL_NONE;

/// "load: missing pre-tokenizer type": without the function; "" for a line without words.
std::string warning_of(const std::string& line) {
  const auto colon = line.find(": ");
  const bool has_function = colon != std::string::npos && line.find(' ') > colon;
  std::string text = has_function ? line.substr(colon + 2) : line;
  text.erase(0, std::min(text.find_first_not_of(" \t*"), text.size()));
  text.erase(text.find_last_not_of(" \t*") + 1);
  const bool has_word = std::ranges::any_of(text, [](unsigned char c) { return std::isalpha(c) != 0; });
  return has_word ? text : std::string();
}

void take_line(const std::string& line) {
  if (g_level == GGML_LOG_LEVEL_ERROR && g_first_error.empty()) g_first_error = line;
  if (g_level != GGML_LOG_LEVEL_WARN) return;
  const std::string warning = warning_of(line);
  if (!warning.empty() && std::ranges::find(g_warnings, warning) == g_warnings.end()) g_warnings.push_back(warning);
}

void on_log(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_CONT) {
    g_current.clear();
    g_level = level;
  }
  if (g_level != GGML_LOG_LEVEL_ERROR && g_level != GGML_LOG_LEVEL_WARN) return;
  g_current += text;
  for (std::size_t end = 0; (end = g_current.find('\n')) != std::string::npos;) {
    take_line(g_current.substr(0, end));
    g_current.erase(0, end + 1);
  }
}

}  // namespace

void start_llama() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(on_log, nullptr);
#ifdef COALA_PORTABLE
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
    ggml_backend_load_all_from_path((program.parent_path() / "../lib/coala").c_str());
    // Otherwise llama.cpp would take any such library that lies in the current folder.
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU) == nullptr) {
      throw Error(ErrorCode::NotBuilt, "there is no code for this CPU in the folder lib/coala beside the program's",
                  "unpack coala's archive again, and leave its folders bin and lib together");
    }
#endif
    llama_backend_init();
  });
}

void clear_llama_log() {
  g_first_error.clear();
  g_warnings.clear();
  g_current.clear();
  g_level = GGML_LOG_LEVEL_NONE;
}

std::string llama_error() {
  return g_first_error;
}

std::vector<std::string> llama_warnings() {
  return g_warnings;
}

}  // namespace coala
