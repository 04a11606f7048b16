#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/model_choices.h"

namespace coala::v1 {

/// Where a model is.
struct ModelSource {
  std::filesystem::path path = {};                ///< GGUF
  std::filesystem::path lora = {};                ///< a LoRA adapter (GGUF) that becomes part of the model; empty: none
  double lora_scale = 1;                          ///< factor of the adapter's weights
  std::optional<std::string> chat_template = {};  ///< Jinja source to use instead of the file's own
  std::string device = "cpu";                     ///< what evaluates it: "cpu", "vulkan:0", or "auto" (docs/devices.md)
  std::optional<std::size_t> device_layers = {};  ///< how many of its last layers are on the device; none: all
};

/// What a model is.
struct ModelInfo {
  std::string name = {};
  std::string architecture = {};
  std::string quantization = {};  ///< as llama.cpp names it: "F16", "Q8_0", ...
  std::string hash = {};          ///< of the whole file
  std::size_t dimension = 0;      ///< of a hidden state
  std::size_t layers = 0;
  std::size_t vocabulary = 0;      ///< tokens
  std::size_t context_tokens = 0;  ///< longest sequence that is evaluated
  std::uint64_t parameters = 0;
  bool encoder = false;  ///< such a model has features and cannot write
};

/// A frozen language model in memory. Immutable; copies share it, and it stays as long as one of them or anything that
/// was made with it. Several may be loaded at once.
///
/// A file that this version has not seen before is tried in a child process first, and templates are rendered in one:
/// they are programs and data of somebody else. The verdict is kept in the user's cache folder (docs/environment.md).
class COALA_API Model {
 public:
  /// @throws Error{BadInput} when the file is no model that can be used, Error{CorruptFile} when it is damaged,
  ///   Error{NotBuilt} or Error{BadUsage} for a device that is not there or has no room, Error{Interrupted}
  explicit Model(const ModelSource& source, const Context& context = {});

  const ModelInfo& info() const;
  /// What a user should know of it, a sentence each.
  std::vector<std::string> warnings(TemplateMode mode = TemplateMode::Model) const;

  struct State;
  const State& state() const { return *state_; }
  std::shared_ptr<const State> shared_state() const { return state_; }

 private:
  std::shared_ptr<const State> state_;
};

}  // namespace coala::v1
