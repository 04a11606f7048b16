// A real instruct model, SmolLM2-135M-Instruct in Q4_1, against llama.cpp by itself. COALA_REAL_MODEL names it (`make
// real` fetches it).

#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "lm/session.h"
#include "plain_llama.h"
#include "support.h"

namespace coala {
namespace {

using test::Plain;
using test::relative_difference;
using test::States;
using test::states_of_all;

std::string model_path() {
  const char* path = std::getenv("COALA_REAL_MODEL");
  return path == nullptr ? "" : path;
}

/// The same model with its weights written out in single precision.
void write_in_single_precision(const std::string& from, const std::filesystem::path& to) {
  ggml_context* tensors = nullptr;
  gguf_context* source = gguf_init_from_file(from.c_str(), {/*no_alloc=*/false, &tensors});
  gguf_context* copy = gguf_init_empty();
  gguf_set_kv(copy, source);
  ggml_context* whole = ggml_init({std::size_t{1} << 30, nullptr, false});
  for (std::int64_t i = 0; i < gguf_get_n_tensors(source); ++i) {
    const ggml_tensor* tensor = ggml_get_tensor(tensors, gguf_get_tensor_name(source, i));
    ggml_tensor* numbers = ggml_new_tensor(whole, GGML_TYPE_F32, ggml_n_dims(tensor), tensor->ne);
    ggml_set_name(numbers, ggml_get_name(tensor));
    if (tensor->type == GGML_TYPE_F32) {
      std::memcpy(numbers->data, tensor->data, ggml_nbytes(tensor));
    } else {
      ggml_get_type_traits(tensor->type)
          ->to_float(tensor->data, static_cast<float*>(numbers->data), ggml_nelements(tensor));
    }
    gguf_add_tensor(copy, numbers);
  }
  gguf_write_to_file(copy, to.c_str(), /*only_meta=*/false);
  gguf_free(copy);
  gguf_free(source);
  ggml_free(whole);
  ggml_free(tensors);
}

/// Questions with a good and a bad answer each, as a preference file has them, and a text of three tokens: so few rows
/// meet weights in blocks by other kernels when a text is written.
std::vector<std::vector<Token>> texts(const Backbone& backbone) {
  const std::vector<std::string> subjects{"the tides",    "a bicycle", "bread",    "the moon", "chess",
                                          "a lighthouse", "rain",      "an atlas", "bees",     "glass"};
  std::vector<std::vector<Token>> result;
  for (const std::string& subject : subjects) {
    const EncodedPrompt prompt =
        backbone.encode_prompt({{{"user", "Tell me in a few words what " + subject + " is good for."}}, ""});
    for (const std::string& answer : std::vector<std::string>{
             "There is a lot to be said for " + subject + ", and most of it has been said before by people who know.",
             "1. Nothing.\n2. Nothing at all.\n3. See 1. and 2.", "I do not know."}) {
      result.push_back(prompt.tokens);
      const std::vector<Token> tokens = backbone.encode_response(prompt, answer);
      result.back().insert(result.back().end(), tokens.begin(), tokens.end());
    }
  }
  result.emplace_back(result[0].begin() + 5, result[0].begin() + 8);
  return result;
}

class RealModel : public testing::Test {
 protected:
  void SetUp() override {
    if (model_path().empty()) GTEST_SKIP() << "COALA_REAL_MODEL is not set; `make real` fetches the model";
    if (!has_accelerator()) GTEST_SKIP() << "the CPU has none of our kernels";
  }
};

TEST_F(RealModel, StatesAndLogitsAreThoseOfLlamaCpp) {
  const test::TemporaryFolder folder;
  write_in_single_precision(model_path(), folder / "single.gguf");
  const Backbone single(folder / "single.gguf");
  const Backbone quantised{std::filesystem::path(model_path())};
  const auto tokens = texts(single);
  const std::vector<TokenSequence> all(tokens.begin(), tokens.end());
  States plain;
  {
    const Plain scope;
    StateEvaluator evaluator(single, {.longest_tokens = 128, .threads = 2, .share_prefixes = false});
    for (const TokenSequence& text : all) plain.push_back(states_of_all(evaluator, {text}).front());
  }
  // The weights in blocks are decoded without rounding, so both files have the same states.
  for (const Backbone* backbone : {&single, &quantised}) {
    States first;
    for (const int threads : {1, 2}) {
      StateEvaluator evaluator(*backbone, {.longest_tokens = 128, .threads = threads});
      const States together = states_of_all(evaluator, all);
      if (first.empty()) first = together;
      EXPECT_EQ(together, first) << "other bits on other threads";
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_LE(relative_difference(together[i], plain[i]), 1e-5) << "text " << i << " among all";
      }
      for (std::size_t i = 0; i < all.size(); i += 6) {
        const std::vector<float> alone = states_of_all(evaluator, {all[i]}).front();
        EXPECT_LE(relative_difference(alone, plain[i]), 1e-5) << "text " << i << " alone";
      }
    }
  }
  // The logits of a text written token by token beside three others.
  const auto logits = [&](const Backbone& backbone, int sequences) {
    Session session(backbone, {.sequences = sequences, .cells = 512, .threads = 2});
    session.start(0, tokens[0]);
    for (int s = 1; s < sequences; ++s) session.fork(0, s);
    std::vector<float> result;
    for (const Token token : {Token{504}, Token{1010}, Token{33}, Token{260}}) {
      std::vector<Session::Row> rows;
      for (int s = 0; s < sequences; ++s) rows.push_back({s, token + s});
      const auto outputs = session.step(rows);
      result.insert(result.end(), outputs[0].logits.begin(), outputs[0].logits.end());
    }
    return result;
  };
  const std::vector<float> beside = logits(single, 4);
  // Rows are rounded to 8 bits, where the last bit of a sum decides a step now and then: one rounding of the model
  // against another, each with 0.7 % of noise in every product.
  EXPECT_LE(relative_difference(logits(quantised, 4), logits(quantised, 1)), 0.05);
  const Plain scope;
  EXPECT_LE(relative_difference(beside, logits(single, 1)), 1e-5);
  EXPECT_LE(relative_difference(logits(quantised, 1), beside), 0.05);
}

}  // namespace
}  // namespace coala
