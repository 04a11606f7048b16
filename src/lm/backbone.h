#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coala/model_choices.h"
#include "core/error.h"
#include "data/record.h"
#include "lm/adapter.h"
#include "lm/chat_template.h"
#include "lm/devices.h"
#include "lm/gguf_file.h"
#include "lm/state_route.h"
#include "lm/tokenizer.h"

struct llama_adapter_lora;
struct llama_context;
struct llama_model;

namespace coala {

/// Where a model is.
struct ModelFile {
  std::filesystem::path path;
  std::filesystem::path lora;  ///< an adapter whose product is added to the weights; empty: none
  double lora_scale = 1;
  std::optional<std::string> chat_template = {};  ///< source of a template to use instead of the file's own
  DeviceChoice device = {};                       ///< what evaluates it

  ModelFile(std::filesystem::path model_path) : path(std::move(model_path)) {}  // NOLINT: a model without more
  ModelFile(std::filesystem::path model_path, std::filesystem::path lora_path, double scale)
      : path(std::move(model_path)), lora(std::move(lora_path)), lora_scale(scale) {}
};

/// What a model is. The hashes tie a feature file or a head to it.
struct BackboneIdentity {
  std::string name;
  std::string architecture;
  std::string quantization;  ///< as llama.cpp names it: "F16", "Q8_0", "Q4_K - Medium"
  std::string hash;          ///< of the whole file
  std::string tokenizer_hash;
  std::string template_hash;    ///< of the template's source, and of what is put behind its prompts
  std::string template_source;  ///< "model", "file", or without any "plain", or "contents" for an encoder
  std::string engine;           ///< name and version of the program that evaluates it
  std::string device;           ///< what rounds its states; "": the CPU, in single precision (Placement::rounding)
  std::string adapter_name;     ///< of the LoRA adapter's file; "" without one, as the next two
  std::string adapter_hash;     ///< of that whole file
  std::string adapter_scale;    ///< as a number

  std::size_t dimension = 0;  ///< of a hidden state
  std::size_t layers = 0;
  std::size_t vocabulary = 0;
  std::size_t context_tokens = 0;   ///< longest sequence that is evaluated: what the model was trained on
  std::string context_reason;       ///< why it is less than the file says; "" when it is not
  std::size_t attention_width = 0;  ///< heads times head dimension
  bool short_positions = false;     ///< of two kinds of position factors (LongRoPE), that for short texts is used
  bool encoder = false;             ///< a token sees those after it too; such a model cannot write
  std::uint64_t parameters = 0;
  /// Without the embedding and output matrices, of expert layers only what one token uses, and with the adapter's.
  std::uint64_t active_parameters = 0;
};

/// The name on the command line and in files; "model" stands for the model's own.
const char* template_mode_name(TemplateMode mode);
/// The mode of a name; Model for a template's file.
TemplateMode parse_template_mode(std::string_view name);

/// The tokens before a response.
struct EncodedPrompt {
  std::vector<Token> tokens;
  std::size_t fixed_tokens = 0;  ///< how many at the front truncation must keep: the BOS token, when there is one
  std::string response_lead;     ///< white space that the template puts in front of the response
  bool parsed = false;           ///< control tokens in the response are read as such
  bool in_thoughts = false;      ///< the template opened thoughts, and the response begins inside of them
  bool is_text = false;          ///< no conversation: what follows goes on with the text, and has no parts
  /// Text with which somebody else's turn begins: a response ends before it. Of models without a template, which have
  /// no token for that.
  std::vector<std::string> stops = {};
};

/// A frozen language model in memory, with or without a LoRA adapter: a causal one, or an encoder of the BERT family.
/// To an encoder prompt and response are a pair of texts, as in its training: [CLS] prompt [SEP] response [SEP];
/// without a prompt [CLS] response [SEP].
///
/// Prompt and response are tokenised apart. So the prompt's tokens are the same for every response to it, which lets
/// them share its evaluation, and generation, which sees exactly the prompt's tokens before it writes, gets features
/// of the same kind.
class Backbone {
 public:
  /// @throws Error{BadInput} when the file is no model that features can be taken from (not GGUF, a vocabulary only,
  ///   a vision or translation model, an architecture that llama.cpp does not know), Error{CorruptFile} when it is
  ///   damaged; what place_model() and Adapter throw
  explicit Backbone(const ModelFile& file) : Backbone(file, Tried::Elsewhere) {}
  /// Whether a file that is not known is tried in a process of its own first (try_model()), or here.
  enum class Tried { Elsewhere, Here };
  Backbone(const ModelFile& file, Tried tried);
  ~Backbone();
  Backbone(const Backbone&) = delete;
  Backbone& operator=(const Backbone&) = delete;

  const BackboneIdentity& identity() const { return identity_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// @throws Error{BadInput} when the file's template cannot be used
  const ChatTemplate& chat_template() const;
  /// A control token of the model that stands in a text, where it would be read as plain characters; empty when there
  /// is none.
  std::string control_text_in(std::string_view text) const;
  /// What to tell the user about the model, a sentence each: llama.cpp's warnings, and ours.
  /// @param mode  how messages become text
  std::vector<std::string> warnings(TemplateMode mode) const;

  /// Exactly one BOS token in front when the model wants one; else what the template writes.
  /// A prompt without messages and text gives the BOS token alone, or nothing.
  /// @throws Error{BadInput} when the template cannot be used or refuses the messages
  EncodedPrompt encode_prompt(const Prompt& prompt, TemplateMode mode = TemplateMode::Model,
                              Thinking thinking = Thinking::Off) const;

  /// Does a response begin with thoughts of its own, as the template writes them? Its prompt is then one with thinking:
  /// there would be two thoughts otherwise, the template's empty ones first.
  bool brings_thoughts(const Prompt& prompt, std::string_view response, TemplateMode mode) const;

  /// What follows a response when it is evaluated: an encoder's token between texts, nothing for other models.
  std::span<const Token> closing() const { return closing_; }

  /// The tokens of a response that follows the prompt; its end-of-turn token is not among them.
  std::vector<Token> encode_response(const EncodedPrompt& prompt, std::string_view response) const;

  /// The text of a response's tokens, such that encode_response() gives the same tokens again wherever the model wrote
  /// what its tokenizer would: without the template's white space in front.
  std::string decode_response(const EncodedPrompt& prompt, std::span<const Token> response) const;

  /// The same taken apart: thoughts, and the answer that follows them. What follows a text is all answer.
  ReplyText decode_reply(const EncodedPrompt& prompt, std::span<const Token> response) const;
  /// Might the answer of decode_reply() vanish into thoughts as the response goes on?
  bool may_become_thoughts(const EncodedPrompt& prompt, std::string_view answer) const;
  /// Does the token end the reply that it would follow? Some templates end thoughts with the same one, and not the
  /// reply; and what ends any message of a template with channels ends the answer as well.
  bool ends_reply(const EncodedPrompt& prompt, std::span<const Token> response, Token token) const;

  /// How the template's replies part thoughts and answer.
  const ReplyFormat& reply_format() const;
  /// Whether what follows the prompt starts a text for the tokenizer.
  bool starts_text(const EncodedPrompt& prompt) const;

  /// For src/lm only.
  llama_model* handle() const { return model_.get(); }
  const Adapter* adapter() const { return adapter_.get(); }  ///< nullptr: none
  const std::filesystem::path& path() const { return path_; }
  const GgufFile& file() const { return file_; }  ///< its header
  const DeviceChoice& device_choice() const { return device_choice_; }
  const Placement& placement() const { return placement_; }
  /// Tokens that the model's position factors were made for, when llama.cpp would choose between two kinds of them; 0.
  std::size_t original_context() const { return original_context_; }
  /// Looked for when it is asked for first. @throws what find_state_route() throws
  StateRoute state_route() const;

 private:
  struct Free {
    void operator()(llama_model* model) const;
  };
  void set_up_template(const std::optional<std::string>& own);
  void check_kind() const;
  void describe();

  std::filesystem::path path_;
  GgufFile file_;
  DeviceChoice device_choice_;
  Placement placement_;
  std::unique_ptr<llama_model, Free> model_;
  std::unique_ptr<Adapter> adapter_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> template_;  ///< nullptr: there is an error instead
  std::optional<Error> template_error_;
  std::vector<std::string> warnings_;
  std::size_t original_context_ = 0;
  mutable std::once_flag route_once_;
  mutable StateRoute route_ = StateRoute::Embeddings;
  std::vector<Token> closing_;
  mutable std::once_flag controls_once_;
  mutable std::vector<std::string> control_texts_;
  mutable TextMatcher control_matcher_;
  BackboneIdentity identity_;
};

}  // namespace coala
