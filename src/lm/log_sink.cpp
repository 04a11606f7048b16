#include "lm/log_sink.h"

#include <llama.h>

#include <mutex>

namespace coala {
namespace {

std::mutex g_mutex;
std::string g_first_error;
std::string g_current;  ///< an error whose line is not complete yet
bool g_current_is_error = false;

void on_log(ggml_log_level level, const char* text, void*) {
  const std::lock_guard lock(g_mutex);
  if (level != GGML_LOG_LEVEL_CONT) {
    g_current.clear();
    g_current_is_error = level == GGML_LOG_LEVEL_ERROR;
  }
  if (!g_current_is_error || !g_first_error.empty()) return;
  g_current += text;
  const auto end = g_current.find('\n');
  if (end != std::string::npos) g_first_error = g_current.substr(0, end);
}

}  // namespace

void start_llama() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(on_log, nullptr);
    llama_backend_init();
  });
}

void clear_llama_log() {
  const std::lock_guard lock(g_mutex);
  g_first_error.clear();
  g_current.clear();
  g_current_is_error = false;
}

std::string llama_error() {
  const std::lock_guard lock(g_mutex);
  return g_first_error;
}

}  // namespace coala
