#include "lm/backbone.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/hash.h"
#include "lm/accelerator.h"
#include "lm/gguf_file.h"
#include "lm/log_sink.h"

namespace coala {
namespace {

/// Bidirectional models of texts for which llama.cpp has no cache (llama_model::create_memory) and whose states need no
/// layers of their own behind the last one.
constexpr std::array<std::string_view, 8> kEncoders{"bert",         "nomic-bert",  "nomic-bert-moe", "jina-bert-v2",
                                                    "jina-bert-v3", "modern-bert", "neo-bert",       "eurobert"};

/// Whether llama.cpp would put a space in front of texts. Only SentencePiece models of the "llama" kind do so in the
/// way that Tokenizer takes over.
bool has_space_prefix(const GgufFile& file) {
  return file.text("tokenizer.ggml.model") == "llama" && file.integer("tokenizer.ggml.add_space_prefix", 1) != 0;
}

llama_model* load(const std::filesystem::path& path, const GgufFile& file) {
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  params.use_extra_bufts = false;  // weights in layouts of ggml's own kernels would be out of reach of ours
  std::array<llama_model_kv_override, 2> overrides{};  // ends with an empty key
  if (has_space_prefix(file)) {
    overrides[0].tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
    std::strncpy(overrides[0].key, "tokenizer.ggml.add_space_prefix", sizeof overrides[0].key - 1);
    overrides[0].val_bool = false;
    params.kv_overrides = overrides.data();
  }
  clear_llama_log();
  llama_model* model = nullptr;
  std::string reason;
  try {
    model = llama_model_load_from_file(path.c_str(), params);
  } catch (const std::exception& error) {
    reason = error.what();
  }
  if (model == nullptr) {
    if (const std::string logged = llama_error(); !logged.empty()) reason = logged;
    throw Error(
        ErrorCode::BadInput,
        fmt::format("llama.cpp cannot load {}: {}", path.string(), reason.empty() ? "it does not say why" : reason),
        "check that the file is complete and that its architecture is supported by this version");
  }
  return model;
}

/// Parameters that take part in one token's evaluation up to the last hidden state: embeddings are looked up, the
/// output matrix and the heads of classifiers are skipped, and of the experts only some run.
/// @param file  whose tensors are counted: the model's, or its adapter's
std::uint64_t count_active_parameters(const GgufFile& model, const GgufFile& file) {
  const std::string architecture = model.text("general.architecture");
  const std::int64_t experts = model.integer(architecture + ".expert_count", 0);
  const std::int64_t used = model.integer(architecture + ".expert_used_count", 0);
  constexpr std::array<std::string_view, 6> kLeftOut{"token_embd.weight",  "output.weight", "position_embd.",
                                                     "token_types.weight", "cls.",          "cls_norm."};
  double active = 0;
  for (const GgufTensor& tensor : file.tensors) {
    if (std::ranges::any_of(kLeftOut, [&](std::string_view name) { return tensor.name.starts_with(name); })) continue;
    const bool expert = tensor.name.find("_exps.") != std::string::npos && experts > 0 && used > 0 && used <= experts;
    const double share = expert ? static_cast<double>(used) / static_cast<double>(experts) : 1;
    active += static_cast<double>(tensor.elements) * share;
  }
  return static_cast<std::uint64_t>(active);
}

}  // namespace

void Backbone::Free::operator()(llama_model* model) const {
  llama_model_free(model);
}

Backbone::Backbone(const ModelFile& model_file) : path_(model_file.path), file_(read_gguf_header(path_)) {
  const std::filesystem::path& path = path_;
  const GgufFile& file = file_;
  start_llama();
  register_accelerator();
  identity_.architecture = file.text("general.architecture");
  identity_.name = file.text("general.name");
  if (identity_.name.empty()) identity_.name = path.stem().string();

  model_.reset(load(path, file));
  const llama_model* model = model_.get();
  const llama_vocab* vocab = llama_model_get_vocab(model);
  if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(vocab) <= 0) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no vocabulary", path.string()));
  }
  if (llama_model_has_encoder(model) || !llama_model_has_decoder(model) || llama_model_is_diffusion(model)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} ({}) is not a causal language model", path.string(), identity_.architecture),
                "use a decoder-only model, such as a Llama, Qwen, Gemma or Mistral, or a BERT");
  }
  tokenizer_ = std::make_unique<Tokenizer>(vocab, has_space_prefix(file));
  identity_.encoder = std::ranges::find(kEncoders, identity_.architecture) != kEncoders.end();
  if (identity_.encoder && tokenizer_->separator() >= 0) closing_.push_back(tokenizer_->separator());
  const char* own_template = llama_model_chat_template(model, nullptr);
  const char* const fallback = identity_.encoder ? ChatTemplate::contents_source() : ChatTemplate::plain_source();
  const std::string source = own_template != nullptr ? own_template : fallback;
  template_ = std::make_unique<ChatTemplate>(source, tokenizer_->bos_text(), tokenizer_->eos_text(),
                                             tokenizer_->control_texts());

  identity_.quantization = llama_ftype_name(llama_model_ftype(model));
  identity_.hash = hash_file(path);
  Hasher tokenizer;
  tokenizer.add(tokenizer_->hash()).add(file.text("tokenizer.ggml.model")).add(file.text("tokenizer.ggml.pre"));
  const auto merges = file.array_hashes.find("tokenizer.ggml.merges");
  tokenizer.add(merges == file.array_hashes.end() ? "" : merges->second);
  identity_.tokenizer_hash = tokenizer.hex();
  identity_.template_hash = hash_text(source);
  identity_.template_source = own_template != nullptr ? "model" : identity_.encoder ? "contents" : "plain";
  identity_.engine = fmt::format("llama.cpp {}", llama_version());
  identity_.dimension = static_cast<std::size_t>(llama_model_n_embd(model));
  identity_.layers = static_cast<std::size_t>(llama_model_n_layer(model));
  identity_.vocabulary = tokenizer_->size();
  identity_.context_tokens = static_cast<std::size_t>(llama_model_n_ctx_train(model));
  const std::int64_t heads = llama_model_n_head(model);
  const std::int64_t head_dimension =
      file.integer(identity_.architecture + ".attention.key_length", heads > 0 ? llama_model_n_embd(model) / heads : 0);
  identity_.attention_width = static_cast<std::size_t>(std::max<std::int64_t>(0, heads * head_dimension));
  identity_.parameters = llama_model_n_params(model);
  identity_.active_parameters = count_active_parameters(file, file);
  if (!model_file.lora.empty()) {
    adapter_ = std::make_unique<Adapter>(model_file.lora, model_file.lora_scale, model_.get(), file,
                                         /*writes=*/!identity_.encoder);
    identity_.adapter_name = model_file.lora.filename().string();
    identity_.adapter_hash = adapter_->hash();
    identity_.adapter_scale = fmt::format("{}", adapter_->scale());
    identity_.active_parameters += count_active_parameters(file, adapter_->file());
  }
}

Backbone::~Backbone() = default;

EncodedPrompt Backbone::encode_prompt(const Prompt& prompt, TemplateMode mode) const {
  EncodedPrompt encoded;
  std::vector<TextPart> parts;
  if (prompt.messages.empty()) {
    if (!prompt.text.empty()) parts.push_back({prompt.text, true});
  } else if (mode == TemplateMode::Raw) {
    for (const Message& message : prompt.messages) parts.push_back({message.content + "\n", true});
  } else {
    parts = template_->render_prompt(prompt.messages);
    encoded.response_lead = template_->response_lead();
  }
  if (tokenizer_->adds_bos()) {
    // Most templates write the BOS token out as text; it is added here as a token, so the text goes.
    while (!parts.empty() && !parts.front().from_user && !tokenizer_->bos_text().empty() &&
           parts.front().text.starts_with(tokenizer_->bos_text())) {
      parts.front().text.erase(0, tokenizer_->bos_text().size());
      if (parts.front().text.empty()) parts.erase(parts.begin());
    }
    encoded.tokens.push_back(tokenizer_->bos());
  }
  const std::vector<Token> rest = tokenizer_->encode(parts, /*at_start=*/true);
  if (tokenizer_->adds_bos() && !rest.empty() && rest.front() == tokenizer_->bos()) {
    throw Error(ErrorCode::Internal, "the rendered prompt starts with two BOS tokens");
  }
  encoded.tokens.insert(encoded.tokens.end(), rest.begin(), rest.end());
  if (!rest.empty()) encoded.tokens.insert(encoded.tokens.end(), closing_.begin(), closing_.end());
  encoded.fixed_tokens = !encoded.tokens.empty() && encoded.tokens.front() == tokenizer_->bos() ? 1 : 0;
  return encoded;
}

std::vector<Token> Backbone::encode_response(const EncodedPrompt& prompt, std::string_view response) const {
  if (response.empty()) return {};
  const std::array<TextPart, 1> parts{{{prompt.response_lead + std::string(response), true}}};
  return tokenizer_->encode(parts, starts_text(prompt));
}

std::string Backbone::decode_response(const EncodedPrompt& prompt, std::span<const Token> response) const {
  std::string text = tokenizer_->decode(response, starts_text(prompt));
  if (text.starts_with(prompt.response_lead)) text.erase(0, prompt.response_lead.size());
  return text;
}

bool Backbone::starts_text(const EncodedPrompt& prompt) const {
  return prompt.tokens.empty() || tokenizer_->is_control(prompt.tokens.back());
}

}  // namespace coala
