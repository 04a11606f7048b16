// Conversations rendered by chat templates and tokenised. The first byte chooses the template; messages follow, with a
// byte 1 between them, each a letter for its role and its content. Whatever is written in a content, the tokens hold
// the control tokens that the template writes and no others.
#include "lm/chat_template.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/error.h"
#include "core/utf8.h"
#include "input_file.h"
#include "lm/backbone.h"

namespace {

constexpr std::string_view kOpen = "{% for message in messages %}";

/// A template that writes the contents in its own way between the marks of the test model.
std::string marked(std::string_view content) {
  return std::string(kOpen) + "{{ '<|' + message['role'] + '|>' }}" + std::string(content) +
         "{{ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
}

const coala::Backbone& model() {
  static const coala::Backbone backbone(coala::ModelFile(COALA_TEST_FILES "/tiny-llama.gguf"));
  return backbone;
}

/// What the templates of published models do with contents.
const std::vector<coala::ChatTemplate>& templates() {
  static const std::vector<coala::ChatTemplate> all = [] {
    std::vector<coala::ChatTemplate> made;
    for (const std::string& source : {
             std::string(coala::ChatTemplate::plain_source()),
             std::string(coala::ChatTemplate::contents_source()),
             marked("{{ message['content'] }}"),
             marked("{{ message.content | trim }}"),
             marked("{{ message['content'].strip() + eos_token }}"),
             marked("{{ '\\n' ~ message['content'] ~ '\\n' }}"),
             marked("{{ message['content'].split('</think>')[-1].lstrip('\\n') }}"),
             marked("{{ message['content'].split('</think>')[0].split('<think>')[-1] }}"),
             marked("{{ ('<think>' + message['content']).replace('<think>', '') }}"),
             marked("{% set content = message['content'] %}{% if content is string %}{{ content }}{% endif %}"),
             marked("{% if '</s>' in message['content'] %}{{ message['content'] | upper }}{% else %}"
                    "{{ message['content'].rstrip() }}{% endif %}"),
             marked("{{ message['content'] | replace('e', '<|') }}"),
             marked("{{ message['content'] | tojson }}"),
             marked("{{ message['content'][0:20] }}"),
             marked("{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
                    "{% endfor %}"),
             // As Llama 2: turns must alternate.
             "{{ bos_token }}" + std::string(kOpen) +
                 "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}"
                 "{% endif %}{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}{% endfor %}",
         }) {
      made.emplace_back(source, "<s>", "</s>", model().tokenizer().control_texts());
    }
    return made;
  }();
  return all;
}

std::vector<coala::Message> messages(std::string_view text) {
  constexpr std::array<const char*, 4> kRoles{"system", "user", "assistant", "<|end|>"};
  std::vector<coala::Message> turns;
  while (!text.empty()) {
    const std::string_view turn = text.substr(0, text.find('\1'));
    text.remove_prefix(std::min(text.size(), turn.size() + 1));
    if (turn.empty()) continue;
    // The readers let nothing but UTF-8 in.
    turns.push_back(
        {kRoles[static_cast<unsigned char>(turn[0]) % kRoles.size()], coala::replace_invalid_utf8(turn.substr(1))});
  }
  return turns;
}

std::vector<coala::Token> control_tokens(const std::vector<coala::TextPart>& parts) {
  std::vector<coala::Token> tokens = model().tokenizer().encode(parts, /*at_start=*/true);
  std::erase_if(tokens, [](coala::Token token) { return !model().tokenizer().is_control(token); });
  return tokens;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::vector<coala::Message> turns = messages({reinterpret_cast<const char*>(data + 1), size - 1});
  if (turns.empty()) return 0;
  std::vector<coala::Message> harmless = turns;
  for (coala::Message& turn : harmless) turn.content = "x";
  const std::size_t choice = data[0] % (templates().size() + 1);
  const coala::ChatTemplate& used = choice == 0 ? model().chat_template() : templates()[choice - 1];
  try {
    const std::vector<coala::TextPart> parts = used.render_prompt(turns);
    coala::fuzz::require(control_tokens(parts) == control_tokens(used.render_prompt(harmless)));
    if (choice == 0) {
      const coala::EncodedPrompt prompt = model().encode_prompt({turns, ""});
      coala::fuzz::require(prompt.fixed_tokens == 1 && std::ranges::count(prompt.tokens, prompt.tokens[0]) == 1);
      const std::string text = model().tokenizer().decode(prompt.tokens, /*at_start=*/true);
      coala::fuzz::require(coala::find_invalid_utf8(text) == std::string::npos);
    }
  } catch (const coala::Error&) {
  }
  return 0;
}
