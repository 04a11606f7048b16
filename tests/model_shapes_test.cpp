// Shapes of published models with random weights: hidden states and logits of many texts in many packings against
// llama.cpp by itself, which evaluates one text at a time with ggml's own kernels. Where a result is put by ggml's
// allocator depends on the shape, so each shape tries other placements.

#include <ggml.h>
#include <gguf.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/random.h"
#include "lm/hidden_states.h"
#include "lm/session.h"
#include "plain_llama.h"
#include "support.h"

namespace coala {
namespace {

using test::Plain;
using test::relative_difference;
using test::States;
using test::states_of_all;

struct ModelShape {
  const char* name;
  const char* architecture;
  unsigned width, heads, kv_heads, head_width, forward, vocabulary;
  unsigned window = 0;   ///< of every other layer; 0: none has one
  unsigned experts = 0;  ///< of which two are used

  bool uses_gelu() const { return std::string_view(architecture).starts_with("gemma"); }
};

void PrintTo(const ModelShape& shape, std::ostream* out) {
  *out << shape.name;
}

/// Two layers, or three where every other one has a window. What the feed-forward part is wide changes no placement
/// within attention, so it is narrowed where the real one would take the test long.
constexpr ModelShape kShapes[] = {
    {"SmolLM2_135M", "llama", 576, 9, 3, 64, 1536, 700},
    {"SmolLM2_360M", "llama", 960, 15, 5, 64, 1280, 700},
    {"SmolLM2_1_7B", "llama", 2048, 32, 32, 64, 1024, 400},
    {"TinyLlama_1_1B", "llama", 2048, 32, 4, 64, 1024, 400},
    {"Llama_3_2_1B", "llama", 2048, 32, 8, 64, 1024, 900},
    {"Llama_3_2_3B", "llama", 3072, 24, 8, 128, 512, 400},
    {"Falcon3_1B", "llama", 2048, 8, 4, 256, 512, 400},
    {"Yi_Coder_1_5B", "llama", 2048, 16, 16, 128, 512, 400},
    {"Qwen2_5_0_5B", "qwen2", 896, 14, 2, 64, 1216, 900},
    {"Qwen2_5_1_5B", "qwen2", 1536, 12, 2, 128, 1024, 500},
    {"Qwen2_5_3B", "qwen2", 2048, 16, 2, 128, 512, 400},
    {"Qwen3_0_6B", "qwen3", 1024, 16, 8, 128, 1024, 4000},
    {"Qwen3_1_7B", "qwen3", 2048, 16, 8, 128, 1024, 500},
    {"Qwen3_4B", "qwen3", 2560, 32, 8, 128, 512, 400},
    {"Qwen3_30B_A3B", "qwen3moe", 2048, 32, 4, 128, 256, 400, 0, 4},
    {"Gemma3_270M", "gemma3", 640, 4, 1, 256, 2048, 3000, 32},
    {"Gemma3_1B", "gemma3", 1152, 4, 1, 256, 1024, 700, 32},
    {"Gemma3_4B", "gemma3", 2560, 8, 4, 256, 512, 400, 32},
    {"Phi_3_mini", "phi3", 3072, 32, 32, 96, 256, 400},
    {"Gemma2_2B", "gemma2", 2304, 8, 4, 256, 512, 400, 32},
    {"OLMo2_1B", "olmo2", 2048, 16, 16, 128, 512, 400},
};

/// Writes a GGUF file with random weights in single precision.
class ModelWriter {
 public:
  explicit ModelWriter(const ModelShape& shape) : shape_(shape), file_(gguf_init_empty()) {
    context_ = ggml_init({std::size_t{1} << 31, nullptr, false});
    header();
    vocabulary();
    weights();
  }
  ~ModelWriter() {
    gguf_free(file_);
    ggml_free(context_);
  }
  ModelWriter(const ModelWriter&) = delete;
  ModelWriter& operator=(const ModelWriter&) = delete;

  void write(const std::filesystem::path& path) { gguf_write_to_file(file_, path.c_str(), /*only_meta=*/false); }

 private:
  unsigned layers() const { return shape_.window > 0 ? 3 : 2; }
  bool is(const char* architecture) const { return std::strcmp(shape_.architecture, architecture) == 0; }

  void number(const std::string& key, unsigned value) {
    gguf_set_val_u32(file_, (std::string(shape_.architecture) + "." + key).c_str(), value);
  }
  void header() {
    gguf_set_val_str(file_, "general.architecture", shape_.architecture);
    gguf_set_val_str(file_, "general.name", shape_.name);
    number("context_length", 1024);
    number("embedding_length", shape_.width);
    number("block_count", layers());
    number("feed_forward_length", shape_.forward);
    number("attention.head_count", shape_.heads);
    number("attention.head_count_kv", shape_.kv_heads);
    number("attention.key_length", shape_.head_width);
    number("attention.value_length", shape_.head_width);
    number("rope.dimension_count", shape_.head_width);
    const std::string epsilon = std::string(shape_.architecture) + ".attention.layer_norm_rms_epsilon";
    gguf_set_val_f32(file_, epsilon.c_str(), 1e-5f);
    if (is("phi3")) number("rope.scaling.original_context_length", 1024);
    if (shape_.window > 0) number("attention.sliding_window", shape_.window);
    if (shape_.experts > 0) {
      number("expert_count", shape_.experts);
      number("expert_used_count", 2);
      number("expert_feed_forward_length", shape_.forward);
    }
  }
  void vocabulary() {
    std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
    std::vector<float> scores(shape_.vocabulary, -100.0f);
    std::vector<std::int32_t> types{2, 3, 3};
    for (int byte = 0; byte < 256; ++byte) {
      char text[8];
      std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
      tokens.emplace_back(text);
      types.push_back(6);
    }
    while (tokens.size() < shape_.vocabulary) {
      tokens.push_back("t" + std::to_string(tokens.size()));
      types.push_back(1);
    }
    std::vector<const char*> pointers;
    for (const std::string& token : tokens) pointers.push_back(token.c_str());
    gguf_set_val_str(file_, "tokenizer.ggml.model", "llama");
    gguf_set_arr_str(file_, "tokenizer.ggml.tokens", pointers.data(), pointers.size());
    gguf_set_arr_data(file_, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), scores.size());
    gguf_set_arr_data(file_, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
    gguf_set_val_u32(file_, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(file_, "tokenizer.ggml.eos_token_id", 2);
  }

  /// Numbers whose products with a state are about as large as its own.
  void matrix(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t count = 0) {
    ggml_tensor* tensor = count > 0 ? ggml_new_tensor_3d(context_, GGML_TYPE_F32, in, out, count)
                                    : ggml_new_tensor_2d(context_, GGML_TYPE_F32, in, out);
    add(tensor, name, 0, std::sqrt(3 / static_cast<float>(in)));
  }
  void vector(const std::string& name, std::int64_t size, float mean) {
    add(ggml_new_tensor_1d(context_, GGML_TYPE_F32, size), name, mean, 0.2f);
  }
  /// Uniform in [mean - range, mean + range].
  void add(ggml_tensor* tensor, const std::string& name, float mean, float range) {
    ggml_set_name(tensor, name.c_str());
    auto* data = static_cast<float*>(tensor->data);
    for (std::int64_t i = 0; i < ggml_nelements(tensor); ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      data[i] = mean + range * (static_cast<float>(state_ >> 40) * 0x1p-23f - 1);
    }
    gguf_add_tensor(file_, tensor);
  }

  void weights() {
    const std::int64_t d = shape_.width;
    matrix("token_embd.weight", d, shape_.vocabulary);
    vector("output_norm.weight", d, 1);
    if (!shape_.uses_gelu()) matrix("output.weight", d, shape_.vocabulary);
    for (unsigned layer = 0; layer < layers(); ++layer) block("blk." + std::to_string(layer) + ".");
  }
  void block(const std::string& prefix) {
    const std::int64_t d = shape_.width;
    const std::int64_t q = static_cast<std::int64_t>(shape_.heads) * shape_.head_width;
    const std::int64_t kv = static_cast<std::int64_t>(shape_.kv_heads) * shape_.head_width;
    if (is("phi3")) {
      matrix(prefix + "attn_qkv.weight", d, q + 2 * kv);
    } else {
      matrix(prefix + "attn_q.weight", d, q);
      matrix(prefix + "attn_k.weight", d, kv);
      matrix(prefix + "attn_v.weight", d, kv);
    }
    matrix(prefix + "attn_output.weight", q, d);
    if (is("qwen2")) {
      vector(prefix + "attn_q.bias", q, 0);
      vector(prefix + "attn_k.bias", kv, 0);
      vector(prefix + "attn_v.bias", kv, 0);
    }
    if (is("qwen3") || is("qwen3moe") || is("gemma3")) {
      vector(prefix + "attn_q_norm.weight", shape_.head_width, 1);
      vector(prefix + "attn_k_norm.weight", shape_.head_width, 1);
    }
    if (is("olmo2")) {
      vector(prefix + "attn_q_norm.weight", q, 1);
      vector(prefix + "attn_k_norm.weight", kv, 1);
    } else {
      vector(prefix + "attn_norm.weight", d, 1);
      vector(prefix + "ffn_norm.weight", d, 1);
    }
    if (shape_.uses_gelu() || is("olmo2")) {
      vector(prefix + "post_attention_norm.weight", d, 1);
      vector(prefix + "post_ffw_norm.weight", d, 1);
    }
    feed_forward(prefix);
  }
  void feed_forward(const std::string& prefix) {
    const std::int64_t d = shape_.width;
    const std::int64_t f = shape_.forward;
    if (shape_.experts > 0) {
      matrix(prefix + "ffn_gate_inp.weight", d, shape_.experts);
      matrix(prefix + "ffn_gate_exps.weight", d, f, shape_.experts);
      matrix(prefix + "ffn_up_exps.weight", d, f, shape_.experts);
      matrix(prefix + "ffn_down_exps.weight", f, d, shape_.experts);
      return;
    }
    if (is("phi3")) {
      matrix(prefix + "ffn_up.weight", d, 2 * f);
    } else {
      matrix(prefix + "ffn_gate.weight", d, f);
      matrix(prefix + "ffn_up.weight", d, f);
    }
    matrix(prefix + "ffn_down.weight", f, d);
  }

  ModelShape shape_;
  gguf_context* file_;
  ggml_context* context_ = nullptr;
  std::uint64_t state_ = 7;
};

class PublishedShape : public testing::TestWithParam<ModelShape> {
 protected:
  /// Texts of three prompts with answers, so that beginnings are shared; some longer than any window.
  static std::vector<std::vector<Token>> texts(std::size_t vocabulary) {
    Random random(11);
    std::vector<std::vector<Token>> result;
    for (const std::size_t prompt_tokens : {5u, 30u, 60u}) {
      std::vector<Token> prompt{1};
      const auto grow = [&](std::vector<Token>& text, std::size_t tokens) {
        for (std::size_t i = 0; i < tokens; ++i) text.push_back(static_cast<Token>(3 + random.below(vocabulary - 3)));
      };
      grow(prompt, prompt_tokens);
      for (const std::size_t answer_tokens : {3u, 17u, 30u}) {
        result.push_back(prompt);
        grow(result.back(), answer_tokens);
      }
    }
    return result;
  }
};

TEST_P(PublishedShape, GivesTheStatesAndLogitsOfLlamaCpp) {
  if (!has_accelerator()) GTEST_SKIP() << "the CPU has none of our kernels";
  constexpr double kTolerance = 1e-5;
  // llama.cpp takes GELU from a table by x in half precision: 2^-12 of x, in each layer's feed-forward part.
  const double against_plain = GetParam().uses_gelu() ? 2 * 3 * 0x1p-12 : kTolerance;
  const test::TemporaryFolder folder;
  ModelWriter(GetParam()).write(folder / "model.gguf");
  const Backbone backbone(folder / "model.gguf");
  const auto tokens = texts(GetParam().vocabulary);
  const std::vector<TokenSequence> all(tokens.begin(), tokens.end());

  States plain;
  {
    const Plain scope;
    StateEvaluator evaluator(backbone, {.longest_tokens = 160, .threads = 2, .share_prefixes = false});
    for (const TokenSequence& text : all) plain.push_back(states_of_all(evaluator, {text}).front());
  }
  States first;
  for (const int threads : {1, 2}) {
    StateEvaluator evaluator(backbone, {.longest_tokens = 160, .threads = threads});
    const States together = states_of_all(evaluator, all);
    if (first.empty()) first = together;
    EXPECT_EQ(together, first) << "other bits on other threads";
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_LE(relative_difference(together[i], plain[i]), against_plain) << "text " << i << " among all";
    }
    for (const std::size_t i : {2u, 4u, 8u}) {
      const std::vector<float> alone = states_of_all(evaluator, {all[i]}).front();
      EXPECT_LE(relative_difference(alone, together[i]), kTolerance) << "text " << i << " alone and among all";
    }
  }

  // Writing: a prompt, three texts from it side by side, against each by itself.
  const std::vector<Token>& prompt = tokens[5];
  const auto logits_of = [&](int sequences, int which) {
    Session session(backbone, {.sequences = sequences, .cells = 512, .threads = 2});
    session.start(0, prompt);
    for (int s = 1; s < sequences; ++s) session.fork(0, s);
    std::vector<float> logits;
    for (int t = 0; t < 6; ++t) {
      std::vector<Session::Row> rows;
      for (int s = 0; s < sequences; ++s) {
        const int text = sequences == 1 ? which : s;
        rows.push_back({s, static_cast<Token>(20 + 7 * t + text)});
      }
      const auto outputs = session.step(rows);
      const auto one = outputs[sequences == 1 ? 0 : static_cast<std::size_t>(which)].logits;
      logits.insert(logits.end(), one.begin(), one.end());
    }
    return logits;
  };
  for (int which = 0; which < 3; ++which) {
    const std::vector<float> together = logits_of(3, which);
    const Plain scope;
    EXPECT_LE(relative_difference(together, logits_of(1, which)), against_plain) << "logits of text " << which;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, PublishedShape, testing::ValuesIn(kShapes),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace coala
