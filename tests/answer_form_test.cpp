#include "lm/answer_form.h"

#include <gtest/gtest.h>

#include "lm/chat_template.h"
#include "support.h"

namespace coala {
namespace {

std::string prompt_of(const ChatTemplate& chat, Thinking thinking = Thinking::Off) {
  std::string text;
  for (const TextPart& part : chat.render_prompt({{"user", "Q"}}, thinking)) text += part.text;
  return text;
}

/// A template of user turns "<|user|>Q<|end|>", whose model's turn and answer are written as is said.
ChatTemplate made(const std::string& turn, const std::string& answer) {
  return {
      "{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content + '<|end|>' }}"
      "{% elif m.role == 'assistant' %}" +
          answer + "{% endif %}{% endfor %}{% if add_generation_prompt %}" + turn + "{% endif %}",
      "",
      "",
      {}};
}

// The kinds that published templates are of; named after one of each.

TEST(AnswerForm, TakesTheHeaderOfAnAnswer) {  // gpt-oss
  const ChatTemplate chat =
      made("<|start|>assistant",
           "{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}"
           "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|return|>");
  EXPECT_EQ(prompt_of(chat), "<|user|>Q<|end|><|start|>assistant<|channel|>final<|message|>");
  EXPECT_EQ(prompt_of(chat, Thinking::On), "<|user|>Q<|end|><|start|>assistant");
  EXPECT_EQ(chat.turn_end(), "<|return|>");
  EXPECT_TRUE(chat.reply_format().channels);
  EXPECT_EQ(chat.reply_format().open, "<|channel|>analysis<|message|>");
  EXPECT_FALSE(chat.starts_thinking());
}

TEST(AnswerForm, TakesAHeaderOfWords) {  // functionary 3.2, Muse
  EXPECT_EQ(prompt_of(made("<|bot|>>>>", "<|bot|>>>>all\n{{ m.content }}<|eot|>")), "<|user|>Q<|end|><|bot|>>>>all\n");
  const ChatTemplate muse = made("<|bot|>", "<|bot|> to=user<|message|>{{ m.content }}<|eot|>");
  EXPECT_EQ(prompt_of(muse), "<|user|>Q<|end|><|bot|> to=user<|message|>");
}

TEST(AnswerForm, ClosesThoughtsAsTheTemplateDoesForAnAnswerWithoutAny) {  // StepFun, Kimi-K2-Thinking, MiniMax-M3
  EXPECT_EQ(prompt_of(made("<|bot|><think>\n", "<|bot|><think>\n{{ m.reasoning_content }}\n</think>\n{{ m.content }}")),
            "<|user|>Q<|end|><|bot|><think>\n\n</think>\n");
  EXPECT_EQ(prompt_of(made("<|bot|>", "<|bot|><think></think>{{ m.content }}<|eot|>")),
            "<|user|>Q<|end|><|bot|><think></think>");
  EXPECT_EQ(prompt_of(made("<|bot|>",
                           "<|bot|>{% if m.reasoning_content %}<mm:think>{{ m.reasoning_content }}{% endif %}"
                           "</mm:think>{{ m.content }}<|eot|>")),
            "<|user|>Q<|end|><|bot|></mm:think>");
}

TEST(AnswerForm, ClosesThoughtsThatTheTemplateLeavesOutOfAnswers) {  // DeepSeek-R1, MiniMax-M2, Cohere2MoE, Apriel 1.6
  const ChatTemplate stripped = made("<|bot|><think>\n", "<|bot|>{{ m.content }}<|eos|>");
  EXPECT_EQ(prompt_of(stripped), "<|user|>Q<|end|><|bot|><think>\n\n</think>\n\n");
  EXPECT_TRUE(stripped.starts_thinking());
  EXPECT_EQ(prompt_of(stripped, Thinking::On), "<|user|>Q<|end|><|bot|><think>\n");
  EXPECT_EQ(prompt_of(made("<|bot|><think>", "<|bot|>{{ m.content }}<|eos|>")),
            "<|user|>Q<|end|><|bot|><think></think>");
  const std::string thought = "{% if m.reasoning_content %}";
  EXPECT_EQ(prompt_of(made("<|bot|><think>\n", "<|bot|>" + thought +
                                                   "<think>\n{{ m.reasoning_content }}\n</think>\n{% endif %}"
                                                   "{{ m.content }}")),
            "<|user|>Q<|end|><|bot|><think>\n\n</think>\n");
  EXPECT_EQ(
      prompt_of(made("<|bot|><|START_THINKING|>", "<|bot|>" + thought +
                                                      "<|START_THINKING|>{{ m.reasoning_content }}"
                                                      "<|END_THINKING|>{% endif %}<|START_TEXT|>{{ m.content }}")),
      "<|user|>Q<|end|><|bot|><|START_THINKING|><|END_THINKING|><|START_TEXT|>");
  EXPECT_EQ(prompt_of(made("<|bot|>\nHere are my reasoning steps:\n",
                           "<|bot|>\n" + thought +
                               "{{ m.reasoning_content }}\n[BEGIN FINAL RESPONSE]\n{% endif %}{{ m.content }}")),
            "<|user|>Q<|end|><|bot|>\nHere are my reasoning steps:\n\n[BEGIN FINAL RESPONSE]\n");
}

TEST(AnswerForm, AddsAHeaderBehindThoughtsThatEndAtOnce) {  // Command-R7B
  EXPECT_EQ(prompt_of(made("<|bot|><|START_THINKING|><|END_THINKING|>", "<|bot|><|START_RESPONSE|>{{ m.content }}")),
            "<|user|>Q<|end|><|bot|><|START_THINKING|><|END_THINKING|><|START_RESPONSE|>");
}

TEST(AnswerForm, LeavesPromptsAloneThatAreRight) {  // Qwen3, QwQ, DeepSeek-V3.2, ChatML, Llama 2
  for (const auto& [turn, answer] :
       {std::pair{"<|bot|>\n{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
                  "<|bot|>\n{{ m.content }}"},
        std::pair{"<|bot|><think>\n</think>", "<|bot|>{{ m.content }}"},
        std::pair{"<|bot|><think></think>", "<|bot|></think>{{ m.content }}"},
        std::pair{"<|bot|>\n", "<|bot|>\n{{ m.content }}<|im_end|>\n"}, std::pair{"", "{{ m.content }} </s>"}}) {
    const ChatTemplate chat = made(turn, answer);
    EXPECT_EQ(chat.answer_lead(), "") << turn;
    EXPECT_EQ(chat.response_lead(), "") << turn;
  }
}

TEST(AnswerForm, KnowsWhatEndsATurn) {
  EXPECT_EQ(made("<|bot|>", "<|bot|>{{ m.content }}<|im_end|>\n").turn_end(), "<|im_end|>\n");
  // Where a turn ends only when another follows (GLM), the other's mark.
  EXPECT_EQ(made("<|bot|>", "<|bot|>{{ m.content }}").turn_end(), "<|user|>");
}

ReplyText split(const ReplyFormat& format, std::vector<ReplyPiece> pieces, bool thinking = false) {
  return format.split(pieces, thinking);
}

void expect_reply(const ReplyText& reply, const std::string& reasoning, const std::string& answer) {
  EXPECT_EQ(reply.reasoning, reasoning);
  EXPECT_EQ(reply.answer, answer);
}

TEST(ReplyFormat, TakesThoughtsOffAnAnswer) {
  const ReplyFormat format{"<think>", "</think>", false};
  expect_reply(split(format, {{"<think>\nHm.\n</think>\n\nFour.", false}}), "Hm.", "Four.");
  expect_reply(split(format, {{"<think>", true}, {"Hm.", false}, {"</think>", true}, {"\nFour.", false}}), "Hm.",
               "Four.");
  expect_reply(split(format, {{"<think>Hm", false}}), "Hm", "");
  expect_reply(split(format, {{"Hm.</think>Four.", false}}, /*thinking=*/true), "Hm.", "Four.");
  expect_reply(split(format, {{"Hm", false}}, /*thinking=*/true), "Hm", "");
  expect_reply(split(format, {{" Four <think>.", false}}), "", " Four <think>.");
  // A model whose template knows nothing of thoughts: those that are opened, but no lone "</think>".
  expect_reply(split({}, {{"<think>Hm.</think>Four.", false}}), "Hm.", "Four.");
  expect_reply(split({}, {{"Write </think> to end.", false}}), "", "Write </think> to end.");
}

TEST(ReplyFormat, TakesTheAnswersHeaderOff) {
  const ReplyFormat format{"<|START_THINKING|>", "<|END_THINKING|><|START_TEXT|>", false};
  const ReplyPiece open{"<|START_THINKING|>", true}, close{"<|END_THINKING|>", true}, text{"<|START_TEXT|>", true};
  expect_reply(split(format, {open, {"Hm.", false}, close, text, {"Four.", false}}), "Hm.", "Four.");
  expect_reply(split(format, {open, {"Hm.", false}, close, {"Four.", false}}), "Hm.", "Four.");
  expect_reply(split(format, {text, {"Four.", false}}), "", "Four.");
}

TEST(ReplyFormat, ReadsChannels) {
  const ReplyFormat format{"", "", true};
  const ReplyPiece channel{"<|channel|>", true}, message{"<|message|>", true}, end{"<|end|>", true},
      start{"<|start|>", true};
  const std::vector<ReplyPiece> whole{channel,         {"analysis", false},   message, {"Think", false}, end,
                                      start,           {" assistant", false}, channel, {"final", false}, message,
                                      {"Four.", false}};
  expect_reply(format.split(whole, false), "Think", "Four.");
  expect_reply(format.split(std::span(whole).first(4), false), "Think", "");
  expect_reply(split(format, {{"Four.", false}}), "", "Four.");
  expect_reply(
      split(format,
            {channel, {"analysis", false}, message, {"Think", false}, end, start, {" assistantfinalFour.", false}}),
      "Think", "Four.");
  expect_reply(split(format, {channel,
                              {"commentary", false},
                              message,
                              {"a", false},
                              end,
                              start,
                              {"assistant", false},
                              channel,
                              {"analysis", false},
                              message,
                              {"b", false}}),
               "a\nb", "");
}

}  // namespace
}  // namespace coala
