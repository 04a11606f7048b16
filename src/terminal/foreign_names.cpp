#include "terminal/foreign_names.h"

#include <array>

namespace coala {
namespace {

constexpr auto kOptions = std::to_array<ForeignName>({
    // What is read and written.
    {"model-path", "model"},
    {"model-name-or-path", "model"},
    {"base-model", "model"},
    {"gguf", "model"},
    {"adapter", "lora"},
    {"lora-path", "lora"},
    {"lora-scaled", "lora-scale"},
    {"reward-model", "head"},
    {"dataset", "data"},
    {"dataset-name", "data"},
    {"train-file", "data"},
    {"prompt-file", "data"},
    {"file", "data"},
    {"output", "out"},
    {"output-file", "out"},
    {"output-dir", "out"},
    {"o", "out"},
    // What is said.
    {"sys", "system"},
    {"system-prompt", "system"},
    {"system-message", "system"},
    {"message", "prompt"},
    {"question", "prompt"},
    {"chat-template", "template"},
    {"chat-template-file", "template"},
    // How replies are written.
    {"temp", "temperature"},
    {"n-predict", "max-tokens"},
    {"predict", "max-tokens"},
    {"num-predict", "max-tokens"},
    {"max-new-tokens", "max-tokens"},
    {"repetition-penalty", "repeat-penalty"},
    {"scale", "guidance-scale"},
    {"strength", "guidance-scale"},
    {"num-return-sequences", "samples"},
    {"num-samples", "samples"},
    {"reverse-prompt", "stop"},
    {"stop-strings", "stop"},
    {"stop-sequences", "stop"},
    {"grammar", "grammar-file"},
    {"think", "thinking"},
    // What computes.
    {"ngl", "gpu-layers"},
    {"n-gpu-layers", "gpu-layers"},
    {"num-gpu", "gpu-layers"},
    {"dev", "device"},
    {"device-map", "device"},
    {"num-threads", "threads"},
    {"num-thread", "threads"},
    {"n-threads", "threads"},
    {"np", "parallel"},
    {"c", "cells"},
    {"ctx-size", "cells"},
    {"num-ctx", "cells"},
    {"n-ctx", "cells"},
});

constexpr auto kCommands = std::to_array<ForeignName>({
    {"run", "chat"},          {"run", "generate"},        {"cli", "chat"},       {"cli", "generate"},
    {"complete", "generate"}, {"completion", "generate"}, {"infer", "generate"}, {"inference", "generate"},
    {"predict", "generate"},  {"server", "serve"},        {"dpo", "align"},      {"finetune", "align"},
    {"fine-tune", "align"},   {"reward", "score"},        {"rank", "score"},     {"evaluate", "eval"},
    {"show", "inspect"},      {"info", "inspect"},        {"merge", "export"},
});

}  // namespace

std::span<const ForeignName> foreign_options() {
  return kOptions;
}

std::span<const ForeignName> foreign_commands() {
  return kCommands;
}

}  // namespace coala
