#include "lm/backbone.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/hash.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "lm/accelerator.h"
#include "lm/gguf_file.h"
#include "lm/log_sink.h"
#include "lm/model_trial.h"
#include "lm/reply_decoder.h"

namespace coala {
namespace {

/// Bidirectional models of texts for which llama.cpp has no cache (llama_model::create_memory) and whose states need no
/// layers of their own behind the last one.
constexpr std::array<std::string_view, 8> kEncoders{"bert",         "nomic-bert",  "nomic-bert-moe", "jina-bert-v2",
                                                    "jina-bert-v3", "modern-bert", "neo-bert",       "eurobert"};

constexpr const char* kOriginalContext = ".rope.scaling.original_context_length";

/// Whether llama.cpp would put a space in front of texts. Only SentencePiece models of the "llama" kind do so in the
/// way that Tokenizer takes over.
bool has_space_prefix(const GgufFile& file) {
  return file.text("tokenizer.ggml.model") == "llama" && file.integer("tokenizer.ggml.add_space_prefix", 1) != 0;
}

/// Length of the texts that the first of a model's two kinds of position factors were made for (LongRoPE); 0 for a
/// model with one kind. llama.cpp chooses by the size of the context, which here depends on what is evaluated beside a
/// text. A text's numbers must not.
std::size_t two_kinds_of_positions(const GgufFile& file) {
  const bool has_long = std::ranges::any_of(file.tensors, [](const GgufTensor& tensor) {
    return tensor.name.find("rope_factors_long") != std::string::npos;
  });
  const std::string architecture = file.text("general.architecture");
  const std::int64_t trained = file.integer(architecture + ".context_length", 0);
  if (!has_long || trained < 1) return 0;
  const std::int64_t original = file.integer(architecture + kOriginalContext, trained);
  return static_cast<std::size_t>(original < 1 ? trained : std::min(original, trained));
}

llama_model_kv_override* next_override(std::array<llama_model_kv_override, 3>& overrides, const std::string& key) {
  const auto place = std::ranges::find_if(overrides, [](const auto& one) { return one.key[0] == '\0'; });
  std::strncpy(place->key, key.c_str(), sizeof place->key - 1);
  return &*place;
}

llama_model* load(const std::filesystem::path& path, const GgufFile& file, const Placement& placement) {
  llama_model_params params = llama_model_default_params();
  std::array<ggml_backend_dev_t, 2> devices{placement.device, nullptr};
  params.devices = devices.data();
  params.n_gpu_layers = static_cast<std::int32_t>(placement.layers);
  // Weights that stay on the CPU are those of the mapped file: in layouts of ggml's own kernels they would be out of
  // reach of ours, and in a device's memory for the host they would be copies.
  params.use_extra_bufts = false;
  params.no_host = true;
  std::array<llama_model_kv_override, 3> overrides{};  // ends with an empty key
  if (has_space_prefix(file)) {
    llama_model_kv_override* prefix = next_override(overrides, "tokenizer.ggml.add_space_prefix");
    prefix->tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
    prefix->val_bool = false;
  }
  if (two_kinds_of_positions(file) > 0) {
    // No context is larger, so the factors for short texts are used; contexts are given the true value again.
    llama_model_kv_override* original = next_override(overrides, file.text("general.architecture") + kOriginalContext);
    original->tag = LLAMA_KV_OVERRIDE_TYPE_INT;
    original->val_i64 = std::numeric_limits<std::int32_t>::max();
  }
  params.kv_overrides = overrides.data();
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
        placement.device == nullptr
            ? "check that the file is complete and that its architecture is supported by this version"
            : fmt::format("use fewer than {} --gpu-layers, or --device cpu", placement.layers));
  }
  return model;
}

/// Does a warning only say how llama.cpp treats some tokens of gpt-oss and its like? Nobody can do anything about it.
bool is_workaround(const std::string& warning) {
  return warning.find("attribute to USER_DEFINED") != std::string::npos ||
         warning.find("token from EOG list") != std::string::npos;
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

Backbone::Backbone(const ModelFile& model_file, Tried tried)
    : path_(model_file.path), file_(read_gguf_header(path_)), device_choice_(model_file.device) {
  const std::filesystem::path& path = path_;
  const GgufFile& file = file_;
  start_llama();
  identity_.hash = hash_file(path_);
  if (tried == Tried::Elsewhere) try_model(model_file, identity_.hash);
  register_accelerator();
  identity_.architecture = file.text("general.architecture");
  identity_.name = file.text("general.name");
  if (identity_.name.empty()) identity_.name = path.stem().string();

  original_context_ = two_kinds_of_positions(file);
  placement_ = place_model(file, identity_.name, device_choice_);
  if (!placement_.news.empty()) log_line(placement_.news);
  identity_.device = placement_.rounding;
  model_.reset(load(path, file, placement_));
  for (const std::string& warning : llama_warnings()) {
    if (!is_workaround(warning)) warnings_.push_back("llama.cpp: " + warning);
  }
  check_kind();
  tokenizer_ = std::make_unique<Tokenizer>(llama_model_get_vocab(model_.get()), has_space_prefix(file));
  identity_.encoder = std::ranges::find(kEncoders, identity_.architecture) != kEncoders.end();
  if (identity_.encoder && tokenizer_->separator() >= 0) closing_.push_back(tokenizer_->separator());
  set_up_template(model_file.chat_template);
  describe();
  if (!model_file.lora.empty()) {
    adapter_ = std::make_unique<Adapter>(model_file.lora, model_file.lora_scale, model_.get(), file,
                                         /*writes=*/!identity_.encoder);
    identity_.adapter_name = model_file.lora.filename().string();
    identity_.adapter_hash = adapter_->hash();
    identity_.adapter_scale = fmt::format("{}", adapter_->scale());
    identity_.active_parameters += count_active_parameters(file, adapter_->file());
  }
}

/// @throws Error{BadInput} when no features can be taken from it
void Backbone::check_kind() const {
  const llama_model* model = model_.get();
  const llama_vocab* vocab = llama_model_get_vocab(model);
  if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(vocab) <= 0) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no vocabulary", path_.string()));
  }
  const bool encoder = std::ranges::find(kEncoders, identity_.architecture) != kEncoders.end();
  const bool looks_ahead = !encoder && file_.integer(identity_.architecture + ".attention.causal", 1) == 0;
  if (llama_model_has_encoder(model) || !llama_model_has_decoder(model) || llama_model_is_diffusion(model) ||
      looks_ahead) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} ({}) is not a causal language model{}", path_.string(), identity_.architecture,
                            looks_ahead ? ": its tokens see those after them" : ""),
                "use a decoder-only model, such as a Llama, Qwen, Gemma or Mistral, or a BERT");
  }
  if (llama_model_n_embd_out(model) != llama_model_n_embd(model)) {
    throw Error(
        ErrorCode::BadInput,
        fmt::format("{} ({}) gives states of {} numbers and is made of {}: its last layer is for embeddings",
                    path_.string(), identity_.architecture, llama_model_n_embd_out(model), llama_model_n_embd(model)),
        "use the language model that it was made from");
  }
}

/// The template that is named, the file's own, or one for models without; and what the tokenizer learns from it.
void Backbone::set_up_template(const std::optional<std::string>& named) {
  const char* const own = llama_model_chat_template(model_.get(), nullptr);
  const char* const fallback = identity_.encoder ? ChatTemplate::contents_source() : ChatTemplate::plain_source();
  const std::string source = named ? *named : own != nullptr ? own : fallback;
  identity_.template_source = named ? "file" : own != nullptr ? "model" : (identity_.encoder ? "contents" : "plain");
  identity_.template_hash = hash_text(source);
  try {
    template_ = std::make_unique<ChatTemplate>(source, tokenizer_->bos_text(), tokenizer_->eos_text(),
                                               tokenizer_->control_texts());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    template_error_ = error;  // who goes without it does not care
    return;
  }
  tokenizer_->take_marks(template_->own_text());
  if (tokenizer_->has_marks()) template_->cover(tokenizer_->control_texts());
  const Token end = tokenizer_->leading_control(template_->turn_end());
  if (end >= 0 && end != tokenizer_->end()) tokenizer_->end_turns_with(end);
  if (!template_->answer_lead().empty()) {
    identity_.template_hash = Hasher().add(source).add(template_->answer_lead()).hex();
  }
}

void Backbone::describe() {
  const GgufFile& file = file_;
  const llama_model* model = model_.get();
  identity_.quantization = llama_ftype_name(llama_model_ftype(model));
  Hasher tokenizer;
  tokenizer.add(tokenizer_->hash()).add(file.text("tokenizer.ggml.model")).add(file.text("tokenizer.ggml.pre"));
  const auto merges = file.array_hashes.find("tokenizer.ggml.merges");
  tokenizer.add(merges == file.array_hashes.end() ? "" : merges->second);
  identity_.tokenizer_hash = tokenizer.hex();
  identity_.engine = fmt::format("llama.cpp {}", llama_version());
  identity_.dimension = static_cast<std::size_t>(llama_model_n_embd(model));
  identity_.layers = static_cast<std::size_t>(llama_model_n_layer(model));
  identity_.vocabulary = tokenizer_->size();
  identity_.context_tokens = static_cast<std::size_t>(llama_model_n_ctx_train(model));
  if (original_context_ > 0) {
    identity_.short_positions = true;
    if (original_context_ < identity_.context_tokens) {
      identity_.context_reason = fmt::format(
          "the file says {}, but beyond {} it has other position factors (LongRoPE), which are not used: all numbers "
          "of a text would change with its length",
          identity_.context_tokens, original_context_);
      identity_.context_tokens = original_context_;
      warnings_.push_back(fmt::format("texts for {} are cut at {} tokens: {}", identity_.name, original_context_,
                                      identity_.context_reason));
    }
  }
  const std::int64_t heads = llama_model_n_head(model);
  const std::int64_t head_dimension =
      file.integer(identity_.architecture + ".attention.key_length", heads > 0 ? llama_model_n_embd(model) / heads : 0);
  identity_.attention_width = static_cast<std::size_t>(std::max<std::int64_t>(0, heads * head_dimension));
  identity_.parameters = llama_model_n_params(model);
  identity_.active_parameters = count_active_parameters(file, file);
  const bool says_bos = file.integers.contains("tokenizer.ggml.add_bos_token");
  if (file.text("tokenizer.ggml.model") == "gpt2" && file.text("tokenizer.ggml.pre").empty()) {
    warnings_.insert(warnings_.begin(), fmt::format("{} does not say how its tokenizer splits texts "
                                                    "(tokenizer.ggml.pre), so tokens may be others than those that it "
                                                    "was trained on{}; convert it again with a newer llama.cpp",
                                                    identity_.name,
                                                    !says_bos && !tokenizer_->adds_bos() && tokenizer_->bos() >= 0
                                                        ? fmt::format(", and texts are evaluated without '{}' in front",
                                                                      tokenizer_->bos_text())
                                                        : ""));
  }
}

const ChatTemplate& Backbone::chat_template() const {
  if (template_error_) throw *template_error_;
  return *template_;
}

std::vector<std::string> Backbone::warnings(TemplateMode mode) const {
  constexpr std::size_t kMost = 4;
  std::vector<std::string> result;
  for (const std::string& warning : warnings_) {
    if (result.size() < kMost) result.push_back(warning);
  }
  if (warnings_.size() > kMost) {
    result.push_back(fmt::format("llama.cpp has {} more of {}", warnings_.size() - kMost, identity_.name));
  }
  if (mode == TemplateMode::Model && identity_.template_source == "plain") {
    result.push_back(fmt::format(
        "{} has no chat template (is it a base model?): messages become 'User: ..' and 'Assistant: ..', and "
        "a reply ends where it would go on with 'User:'; --template names another way",
        identity_.name));
  }
  return result;
}

std::string Backbone::control_text_in(std::string_view text) const {
  std::call_once(controls_once_, [this] {
    control_texts_ = tokenizer_->control_texts();
    control_matcher_ = TextMatcher(control_texts_);
  });
  const std::size_t at = control_matcher_.next_start(text, 0);
  for (std::size_t from = at; from < text.size(); from = control_matcher_.next_start(text, from + 1)) {
    if (const auto number = control_matcher_.longest_at(text, from)) return control_texts_[*number];
  }
  return "";
}

const char* template_mode_name(TemplateMode mode) {
  switch (mode) {
    case TemplateMode::Model:
      return "model";
    case TemplateMode::Raw:
      return "raw";
    case TemplateMode::None:
      return "none";
    case TemplateMode::Parsed:
      return "parsed";
  }
  return "";
}

TemplateMode parse_template_mode(std::string_view name) {
  for (const TemplateMode mode : {TemplateMode::Raw, TemplateMode::None, TemplateMode::Parsed}) {
    if (name == template_mode_name(mode)) return mode;
  }
  return TemplateMode::Model;
}

StateRoute Backbone::state_route() const {
  std::call_once(route_once_, [this] { route_ = find_state_route(*this); });
  return route_;
}

Backbone::~Backbone() = default;

EncodedPrompt Backbone::encode_prompt(const Prompt& prompt, TemplateMode mode, Thinking thinking) const {
  EncodedPrompt encoded;
  std::vector<TextPart> parts;
  encoded.is_text = prompt.messages.empty();
  if (encoded.is_text) {
    if (!prompt.text.empty()) parts.push_back({prompt.text, true});
  } else if (mode == TemplateMode::Raw) {
    for (const Message& message : prompt.messages) parts.push_back({message.content + "\n", true});
  } else if (mode != TemplateMode::Model) {
    for (const Message& message : prompt.messages) parts.push_back({message.content, true});
  } else {
    const ChatTemplate& chat = chat_template();
    parts = chat.render_prompt(prompt.messages, thinking);
    if (thinking == Thinking::Off) encoded.response_lead = chat.response_lead();
    encoded.in_thoughts = thinking == Thinking::On && chat.starts_thinking();
    if (identity_.template_source == "plain") encoded.stops.emplace_back(ChatTemplate::plain_turn());
  }
  if (mode == TemplateMode::Parsed) {
    encoded.parsed = true;
    for (TextPart& part : parts) part.from_user = false;
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

bool Backbone::brings_thoughts(const Prompt& prompt, std::string_view response, TemplateMode mode) const {
  if (mode != TemplateMode::Model || prompt.messages.empty() || !template_) return false;
  const ReplyFormat& format = template_->reply_format();
  return !opening_tag(format.open).empty() && trimmed(response).starts_with(format.open);
}

std::vector<Token> Backbone::encode_response(const EncodedPrompt& prompt, std::string_view response) const {
  if (response.empty()) return {};
  if (prompt.in_thoughts && template_) {
    // The prompt has opened the thoughts already.
    const std::string& open = template_->reply_format().open;
    const std::size_t begin = response.find_first_not_of(" \t\r\n");
    if (!open.empty() && begin != std::string_view::npos && response.substr(begin).starts_with(open)) {
      response.remove_prefix(begin + open.size());
      response.remove_prefix(std::min(response.find_first_not_of(" \t\r\n"), response.size()));
    }
  }
  const std::array<TextPart, 1> parts{{{prompt.response_lead + std::string(response), !prompt.parsed}}};
  return tokenizer_->encode(parts, starts_text(prompt));
}

std::string Backbone::decode_response(const EncodedPrompt& prompt, std::span<const Token> response) const {
  std::string text = tokenizer_->decode(response, starts_text(prompt));
  if (text.starts_with(prompt.response_lead)) text.erase(0, prompt.response_lead.size());
  return text;
}

ReplyText Backbone::decode_reply(const EncodedPrompt& prompt, std::span<const Token> response) const {
  ReplyDecoder decoder(*this, prompt);
  for (const Token token : response) decoder.add(token);
  return decoder.text();
}

const ReplyFormat& Backbone::reply_format() const {
  static const ReplyFormat kNone;
  return template_ ? template_->reply_format() : kNone;
}

bool Backbone::may_become_thoughts(const EncodedPrompt& prompt, std::string_view answer) const {
  return !prompt.is_text && reply_format().may_change(answer);
}

bool Backbone::ends_reply(const EncodedPrompt& prompt, std::span<const Token> response, Token token) const {
  const bool is_end = tokenizer_->is_end(token);
  if (!template_ || prompt.is_text) return is_end;
  const ReplyFormat& format = reply_format();
  const std::string mark = tokenizer_->control_text(token);
  const bool ends_message = !mark.empty() && format.between.starts_with(mark);
  if (!ends_message || (!is_end && !format.channels)) return is_end;
  const ReplyText reply = decode_reply(prompt, response);
  const bool answered = !trimmed(reply.answer).empty();
  return is_end ? answered || reply.reasoning.empty() : answered;
}

bool Backbone::starts_text(const EncodedPrompt& prompt) const {
  return prompt.tokens.empty() || tokenizer_->is_special(prompt.tokens.back());
}

}  // namespace coala
