#include "lm/model_trial.h"

#include <fmt/format.h>
#include <ggml.h>
#include <llama.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "core/error.h"
#include "core/hash.h"
#include "core/version.h"
#include "lm/child_process.h"
#include "lm/context.h"

namespace coala {
namespace {

namespace fs = std::filesystem;

/// Beyond the file and what is computed with it, which may be twice as large once it is unpacked.
constexpr std::size_t kMemory_bytes = std::size_t{1} << 30;
/// A disk that gives less takes a network.
constexpr std::size_t kSlowestDisk_bytesPerSecond = 20'000'000;
constexpr std::chrono::milliseconds kPatience{15'000};

/// The folder of verdicts, made if need be; none where the user has no cache.
std::optional<fs::path> verdict_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::optional<fs::path>(value) : std::nullopt;
  };
  std::optional<fs::path> cache = variable("COALA_CACHE");
  if (!cache) {
    cache = variable("XDG_CACHE_HOME");
    if (const auto home = variable("HOME"); !cache && home) cache = *home / ".cache";
    if (!cache) return std::nullopt;
    *cache /= "coala";
  }
  std::error_code error;
  fs::create_directories(*cache / "models", error);
  return error ? std::nullopt : std::optional(*cache / "models");
}

/// Evaluates a few tokens in the ways that a command may.
void evaluate_some(const Backbone& backbone) {
  if (!backbone.identity().encoder) {
    backbone.state_route();
    return;
  }
  constexpr std::int32_t kTokens = 3;
  llama_context_params params = context_params(/*threads=*/1);
  params.n_ctx = 64;
  llama_context* context = open_context(backbone, params, kTokens, "use a smaller model");
  llama_batch batch = llama_batch_init(kTokens, 0, 1);
  for (std::int32_t i = 0; i < kTokens; ++i) {
    batch.token[i] = static_cast<Token>(static_cast<std::size_t>(i) % backbone.tokenizer().size());
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  batch.n_tokens = kTokens;
  decode_batch(context, batch);
}

int g_child_out = -1;

void report_to_parent(const char* message) {
  ChildProcess::Port(-1, g_child_out, 0).send(MessageWriter().add("failed").add(message).message());
  ::_exit(0);
}

void (*g_say)(const char*) = nullptr;

void end_with_message(const char* message) {
  constexpr int kBadInput = 2;
  g_say(message);
  ::_exit(kBadInput);
}

/// The file and line are llama.cpp's, which is the name by which its makers know the fault.
std::string without_folders(std::string message) {
  message.erase(message.find_last_not_of(" \n") + 1);
  const std::size_t colon = message.find(':');
  const std::size_t slash = message.rfind('/', colon);
  return slash == std::string::npos || slash > colon ? message : message.substr(slash + 1);
}

}  // namespace

void end_on_llama_assertions(void (*say)(const char* message)) {
  g_say = say;
  ggml_set_abort_callback(end_with_message);
}

void try_model(const ModelFile& file, const std::string& hash) {
  if (!file.lora.empty() && !fs::is_regular_file(file.lora)) return;  // Adapter refuses it
  Hasher key;
  key.add(hash).add(llama_version()).add(kVersion);
  if (!file.lora.empty()) key.add(hash_file(file.lora)).add(fmt::format("{}", file.lora_scale));
  const std::optional<fs::path> folder = verdict_folder();
  const fs::path verdict = folder ? *folder / key.hex() : fs::path();
  std::error_code ignored;
  if (folder && fs::exists(verdict, ignored)) return;

  const std::size_t bytes = fs::file_size(file.path);
  const auto time = kPatience + std::chrono::milliseconds(1000 * bytes / kSlowestDisk_bytesPerSecond);
  std::string message, end;
  const auto received = answer_of_child([&] {
    const ChildProcess child(kMemory_bytes + 3 * bytes, [&](const ChildProcess::Port& port) {
      g_child_out = port.out();
      ggml_set_abort_callback(report_to_parent);
      try {
        ModelFile here = file;
        here.device = {};  // the fault is the file's wherever it is evaluated, and a driver may not live in a fork
        const Backbone backbone(here, Backbone::Tried::Here);
        evaluate_some(backbone);
      } catch (const Error& error) {
        // What we refuse, whoever loads it here gets too, and says so.
        const bool ours = error.code() != ErrorCode::OutOfMemory && error.code() != ErrorCode::Internal;
        port.send(MessageWriter().add(ours ? "refused" : "failed").add(error.what()).message());
        return;
      }
      port.send(MessageWriter().add("well").message());
    });
    const auto result = child.receive(message, {.in_all = time, .computing = time, .stall = kPatience});
    if (result == ChildProcess::Received::Ended) end = child.end();
    return result;
  });
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorCode::BadInput, fmt::format("llama.cpp cannot use {}: {}", file.path.string(), what),
                "the file does not fit its architecture, or this version does not support it: convert it again with a "
                "newer llama.cpp, or use another model");
  };
  switch (received) {
    case ChildProcess::Received::TooLate:
    case ChildProcess::Received::Stalled:
      fail(fmt::format("a few tokens are not evaluated after {} seconds", time.count() / 1000));
      break;
    case ChildProcess::Received::Ended:
      fail(end.starts_with("signal")
               ? fmt::format("it ends the process ({})", end)
               : fmt::format("it takes more than {} MB of memory", (kMemory_bytes + 3 * bytes) >> 20));
      break;
    case ChildProcess::Received::Message:
      break;
  }
  MessageReader reader(message);
  const std::string outcome = reader.text();
  if (outcome == "failed") fail(without_folders(reader.text()));
  if (outcome == "well" && folder) std::ofstream(verdict).flush();
}

}  // namespace coala
