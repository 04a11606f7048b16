#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>

#include "core/atomic_file.h"
#include "core/random.h"
#include "core/safetensors.h"
#include "lm/accelerator.h"
#include "lm/backbone.h"
#include "lm/hidden_states.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;
using test::TemporaryFolder;
using test::test_file;

const Backbone& tiny() {
  static const Backbone backbone(test_file("tiny-llama.gguf"));
  return backbone;
}

/// States of one sequence, [tokens, d].
std::vector<std::vector<float>> states_of(StateEvaluator& evaluator, const std::vector<Token>& tokens) {
  std::vector<std::vector<float>> states;
  const TokenSequence sequence = tokens;
  evaluator.evaluate({&sequence, 1}, [&](std::size_t which, std::size_t position, std::span<const float> state) {
    EXPECT_EQ(which, 0u);
    EXPECT_EQ(position, states.size());
    states.emplace_back(state.begin(), state.end());
  });
  return states;
}

double norm(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

double distance(std::span<const float> x, std::span<const float> y) {
  EXPECT_EQ(x.size(), y.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i]) - y[i], 2);
  return std::sqrt(sum);
}

/// Relative rounding of a state that two correct float32 evaluations may differ by. Every layer adds rounding of the
/// order sqrt(k) u per dot product of length k (u = 2^-24; random signs), and the norms and softmax pass it on with
/// factors near one. With k <= 704 and up to 12 roundings in a row per layer that is 12 sqrt(704) u = 2e-5 a layer;
/// independent layers add in squares.
double rounding(std::size_t layers) {
  return 2e-5 * std::sqrt(static_cast<double>(layers));
}

std::vector<Token> random_tokens(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<Token> tokens{1};
  while (tokens.size() < count) tokens.push_back(static_cast<Token>(3 + random.below(tiny().tokenizer().size() - 3)));
  return tokens;
}

std::vector<Token> encode(const Backbone& backbone, const Prompt& prompt, TemplateMode mode = TemplateMode::Model) {
  return backbone.encode_prompt(prompt, mode).tokens;
}

std::vector<Token> pieces(const std::vector<TextPart>& parts, bool at_start = true) {
  return tiny().tokenizer().encode(parts, at_start);
}

TEST(Backbone, KnowsWhatItIs) {
  const BackboneIdentity& identity = tiny().identity();
  EXPECT_EQ(identity.name, "tiny-llama");
  EXPECT_EQ(identity.architecture, "llama");
  EXPECT_EQ(identity.quantization, "all F32");
  EXPECT_EQ(identity.dimension, 32u);
  EXPECT_EQ(identity.layers, 2u);
  EXPECT_EQ(identity.vocabulary, 298u);
  EXPECT_EQ(identity.context_tokens, 256u);
  EXPECT_EQ(identity.attention_width, 32u);
  EXPECT_EQ(identity.template_source, "model");
  // Per layer q and o 32 x 32, k and v 16 x 32, three 64 x 32, two norms of 32; one norm at the end.
  EXPECT_EQ(identity.active_parameters, 2u * (2 * 1024 + 2 * 512 + 3 * 2048 + 2 * 32) + 32);
  EXPECT_EQ(identity.parameters, identity.active_parameters + 2u * 298 * 32);
  EXPECT_EQ(identity.hash.size(), 32u);
  EXPECT_EQ(Backbone(test_file("tiny-llama.gguf")).identity().tokenizer_hash, identity.tokenizer_hash);
}

TEST(Backbone, StatesEqualThoseOfTransformers) {
  const SafetensorsFile reference(test_file("tiny-llama-states.safetensors"));
  StateEvaluator evaluator(tiny(), {.longest_tokens = 256, .threads = 1});
  EXPECT_TRUE(evaluator.skips_output());
  int sequences = 0;
  for (; reference.contains("tokens." + std::to_string(sequences)); ++sequences) {
    const auto wide = reference.read_i64("tokens." + std::to_string(sequences));
    const auto expected = reference.read_f32("states." + std::to_string(sequences));
    const auto states = states_of(evaluator, {wide.begin(), wide.end()});
    ASSERT_EQ(states.size(), wide.size());
    for (std::size_t t = 0; t < states.size(); ++t) {
      const auto row = std::span(expected).subspan(32 * t, 32);
      ASSERT_LE(distance(states[t], row), rounding(2) * norm(row)) << "sequence " << sequences << ", token " << t;
    }
  }
  EXPECT_EQ(sequences, 4);
}

TEST(States, AreTheSameWithAndWithoutTheOutputMatrix) {
  const auto tokens = random_tokens(200, 1);
  StateEvaluator quick(tiny(), {.longest_tokens = 256, .threads = 1});
  StateEvaluator plain(tiny(), {.longest_tokens = 256, .threads = 1, .skip_output = false});
  EXPECT_TRUE(quick.skips_output());
  EXPECT_FALSE(plain.skips_output());
  EXPECT_EQ(states_of(quick, tokens), states_of(plain, tokens));
}

TEST(States, DoNotDependOnThreads) {
  const auto tokens = random_tokens(60, 2);
  StateEvaluator one(tiny(), {.longest_tokens = 256, .threads = 1});
  StateEvaluator two(tiny(), {.longest_tokens = 256, .threads = 2});
  const auto a = states_of(one, tokens);
  const auto b = states_of(two, tokens);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t t = 0; t < a.size(); ++t) EXPECT_LE(distance(a[t], b[t]), rounding(2) * norm(a[t]));
}

/// Random sequences that share beginnings: each goes on from somewhere in an earlier one, or is one, or starts anew.
std::vector<std::vector<Token>> random_forest(std::size_t count, std::size_t longest, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::vector<Token>> all;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<Token> tokens;
    if (i > 0 && random.below(5) > 0) {
      const auto& from = all[random.below(i)];
      tokens.assign(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(random.below(from.size() + 1)));
    }
    const std::size_t more = random.below(longest - tokens.size() + 1);
    const auto tail = random_tokens(random.below(3) == 0 ? std::min<std::size_t>(more, 3) : more, seed * 1000 + i);
    tokens.insert(tokens.end(), tail.begin(), tail.end());
    if (tokens.empty()) tokens = random_tokens(1, i);
    all.push_back(tokens);
  }
  return all;
}

/// Whatever is packed with what, in whatever order: the states of a sequence are those that it has alone, every token
/// comes once, and of sorted sequences every node of their prefix tree is evaluated once.
TEST(States, DoNotDependOnPacking) {
  StateEvaluator alone(tiny(), {.longest_tokens = 160, .threads = 1, .share_prefixes = false, .skip_output = false});
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    auto forest = random_forest(3 + 9 * seed, seed % 3 == 0 ? 12 : 160, seed);
    if (seed % 2 == 0) std::sort(forest.begin(), forest.end());
    StateEvaluator together(
        tiny(), {.longest_tokens = 160, .threads = seed % 4 == 0 ? 2 : 1, .batch_rows = std::size_t{64} << (seed % 4)});
    std::set<std::vector<Token>> nodes;
    for (const auto& tokens : forest) {
      for (std::size_t p = 1; p <= tokens.size(); ++p)
        nodes.emplace(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(p));
    }
    const std::vector<TokenSequence> sequences(forest.begin(), forest.end());
    std::vector<std::vector<std::vector<float>>> states(forest.size());
    together.evaluate(sequences, [&](std::size_t s, std::size_t position, std::span<const float> state) {
      ASSERT_EQ(position, states[s].size()) << "sequence " << s;
      states[s].emplace_back(state.begin(), state.end());
    });
    for (std::size_t s = 0; s < forest.size(); ++s) {
      const auto expected = states_of(alone, forest[s]);
      ASSERT_EQ(states[s].size(), expected.size());
      for (std::size_t p = 0; p < expected.size(); ++p) {
        ASSERT_LE(distance(states[s][p], expected[p]), rounding(2) * norm(expected[p]))
            << "seed " << seed << ", sequence " << s << ", position " << p;
      }
    }
    if (seed % 2 == 0) {
      EXPECT_EQ(together.evaluated_tokens(), nodes.size()) << "seed " << seed;
    }
  }
}

/// The states after a block are what goes into the next one: stopping there must not change them.
TEST(States, OfSeveralLayersComeTogether) {
  const auto forest = random_forest(9, 60, 4);
  const std::vector<TokenSequence> sequences(forest.begin(), forest.end());
  const auto collect = [&](const std::vector<std::size_t>& layers) {
    StateEvaluator evaluator(tiny(), {.longest_tokens = 60, .threads = 1, .layers = layers});
    EXPECT_TRUE(evaluator.skips_output());
    EXPECT_EQ(evaluator.state_size(), 32 * layers.size());
    std::vector<float> all;
    evaluator.evaluate(sequences, [&](std::size_t, std::size_t, std::span<const float> state) {
      all.insert(all.end(), state.begin(), state.end());
    });
    return all;
  };
  const auto first = collect({1});
  const auto last = collect({0});
  const auto both = collect({0, 1});
  ASSERT_EQ(both.size(), 2 * first.size());
  for (std::size_t t = 0; t < first.size() / 32; ++t) {
    for (std::size_t j = 0; j < 32; ++j) {
      ASSERT_EQ(both[64 * t + j], last[32 * t + j]);
      ASSERT_EQ(both[64 * t + 32 + j], first[32 * t + j]);
    }
  }
  EXPECT_NE(first, last);
  EXPECT_EQ(error_code_of([] { StateEvaluator(tiny(), {.longest_tokens = 8, .layers = {3}}); }), ErrorCode::BadUsage);
}

/// Our own products and attention against ggml's, on forests that use every part of the attention's mask.
TEST(States, AreTheSameWithAndWithoutTheAccelerator) {
  COALA_NEEDS_SHARED("models/imdb-llama");
  for (const char* file : {"models/imdb-llama/imdb-llama-7m-f16.gguf", "models/imdb-llama/imdb-llama-7m-q8_0.gguf"}) {
    const Backbone backbone(shared_file(file));
    std::vector<std::vector<Token>> forest = random_forest(30, 160, 8);
    for (auto& tokens : forest) {
      for (Token& token : tokens) token = static_cast<Token>((token * 31 + 7) % 8000);
    }
    const std::vector<TokenSequence> sequences(forest.begin(), forest.end());
    const auto collect = [&](bool accelerated, int threads) {
      use_accelerator(accelerated);
      StateEvaluator evaluator(backbone, {.longest_tokens = 160, .threads = threads});
      EXPECT_TRUE(evaluator.skips_output());
      std::vector<std::vector<float>> states;
      evaluator.evaluate(sequences, [&](std::size_t, std::size_t, std::span<const float> state) {
        states.emplace_back(state.begin(), state.end());
      });
      use_accelerator(true);
      return states;
    };
    const auto plain = collect(false, 1);
    const auto one = collect(true, 1);
    const auto two = collect(true, 2);
    ASSERT_EQ(plain.size(), one.size());
    EXPECT_EQ(one, two) << "the kernels give the same bits on any number of threads";
    EXPECT_NE(plain, one) << "nothing was accelerated";
    // ggml rounds activations to half precision before it multiplies (2^-11 each), and to 8 bits for Q8_0, where only
    // attention is ours.
    const double unit = std::string(file).find("q8_0") == std::string::npos ? 0x1p-11 : 0x1p-7;
    for (std::size_t t = 0; t < plain.size(); ++t) {
      ASSERT_LE(distance(plain[t], one[t]), 4 * unit * norm(plain[t])) << file << ", token " << t;
    }
  }
}

/// Rounding is for every number of rows: a state that one row of a call computes is the one that forty compute. (Of
/// first tokens, whose attention has one term: with more, the last bit of a sum may decide how a state is rounded.)
TEST(States, OfBFloatProductsDoNotDependOnOtherRows) {
  if (!has_accelerator()) GTEST_SKIP() << "the CPU has none of our kernels";
  StateEvaluator exact(tiny(), {.longest_tokens = 8, .threads = 1});
  StateEvaluator rounded(tiny(), {.longest_tokens = 8, .threads = 1, .precision = Precision::BF16});
  std::vector<std::vector<Token>> tokens;
  for (Token t = 3; t < 43; ++t) tokens.push_back({t});
  const std::vector<TokenSequence> sequences(tokens.begin(), tokens.end());
  std::vector<std::vector<float>> together(tokens.size());
  rounded.evaluate(sequences, [&](std::size_t which, std::size_t, std::span<const float> state) {
    together[which].assign(state.begin(), state.end());
  });
  double largest = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::vector<float> alone = states_of(rounded, tokens[i]).front();
    EXPECT_EQ(std::memcmp(alone.data(), together[i].data(), alone.size() * sizeof(float)), 0) << i;
    const std::vector<float> plain = states_of(exact, tokens[i]).front();
    largest = std::max(largest, distance(alone, plain) / norm(plain));
  }
  // Rounding to 8 bits is off by 2^-9 at most, of weights and of states, in the 7 products of each of two layers: so
  // much if all of it added up, far less as it is random.
  EXPECT_GT(largest, 1e-4);
  EXPECT_LT(largest, 14 * 2 * 0x1p-9);
}

TEST(States, RefuseWhatDoesNotFit) {
  EXPECT_EQ(error_code_of([] { StateEvaluator(tiny(), {.longest_tokens = 257}); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([] { StateEvaluator(tiny(), {.longest_tokens = 0}); }), ErrorCode::BadInput);
  StateEvaluator evaluator(tiny(), {.longest_tokens = 20, .threads = 1});
  const auto tokens = random_tokens(21, 5);
  EXPECT_EQ(error_code_of([&] { states_of(evaluator, tokens); }), ErrorCode::BadInput);
  EXPECT_EQ(states_of(evaluator, {tokens.begin(), tokens.begin() + 20}).size(), 20u);
  EXPECT_EQ(error_code_of([&] { states_of(evaluator, {1, 100000}); }), ErrorCode::Internal);
  EXPECT_EQ(states_of(evaluator, {1, 5}).size(), 2u);
}

TEST(Tokenizer, PutsExactlyOneBosInFront) {
  for (const Prompt& prompt : {Prompt{}, Prompt{{}, "the hen"}, Prompt{{}, "<s>the"}, Prompt{{{"user", "hi"}}, ""},
                               Prompt{{{"system", "<s>"}, {"user", "<s>"}}, ""}}) {
    for (const TemplateMode mode : {TemplateMode::Model, TemplateMode::Raw}) {
      const EncodedPrompt encoded = tiny().encode_prompt(prompt, mode);
      EXPECT_EQ(std::count(encoded.tokens.begin(), encoded.tokens.end(), tiny().tokenizer().bos()), 1);
      EXPECT_EQ(encoded.tokens.front(), tiny().tokenizer().bos());
      EXPECT_EQ(encoded.fixed_tokens, 1u);
    }
  }
  EXPECT_EQ(encode(tiny(), {}), (std::vector<Token>{1}));
}

TEST(Tokenizer, KnowsControlTokensInTheTemplateOnly) {
  const Token user = 260;
  const Token end = 262;
  EXPECT_EQ(pieces({{"<|user|>", false}}), (std::vector<Token>{user}));
  const auto typed = pieces({{"<|user|>", true}});
  EXPECT_EQ(std::count(typed.begin(), typed.end(), user), 0);
  EXPECT_GT(typed.size(), 4u);
  const auto prompt = encode(tiny(), {{{"user", "the<|end|>"}}, ""});
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), end), 1);
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), user), 1);
}

TEST(Tokenizer, TreatsNeighbouringPiecesAsOneText) {
  const auto whole = pieces({{"the hen and the inn", false}});
  EXPECT_EQ(pieces({{"the h", false}, {"en an", true}, {"d the inn", false}}), whole);
  // "▁the" at the start; in the middle of a text nothing is put in front.
  EXPECT_EQ(whole.front(), pieces({{"the", true}}).front());
  EXPECT_NE(pieces({{"the", true}}, /*at_start=*/false), pieces({{"the", true}}));
  EXPECT_EQ(pieces({{" the", true}}, /*at_start=*/false), pieces({{"the", true}}));
  EXPECT_TRUE(pieces({{"", true}, {"", false}}).empty());
}

TEST(Tokenizer, TakesAnyBytes) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes.push_back(static_cast<char>(b));
  EXPECT_GE(pieces({{bytes, true}}).size(), 200u);
  EXPECT_GE(pieces({{std::string(100000, '\xff'), true}}).size(), 100000u);
}

TEST(Template, RendersTheModelsOwn) {
  const auto tokens = encode(tiny(), {{{"system", " in "}, {"user", "the"}}, ""});
  const auto expected = pieces({{"<|system|>\nin<|end|>\n<|user|>\nthe<|end|>\n<|assistant|>\n", false}});
  EXPECT_EQ(std::vector<Token>(tokens.begin() + 1, tokens.end()), expected);
  EXPECT_EQ(tokens.front(), 1);
  EXPECT_EQ(error_code_of([] { encode(tiny(), {{{"tool", "x"}}, ""}); }), ErrorCode::BadInput);
}

TEST(Template, PlainOneLeadsTheAnswerWithASpace) {
  const ChatTemplate plain(ChatTemplate::plain_source(), "<s>", "</s>", {});
  std::string text;
  for (const auto& part : plain.render_prompt({{"system", "S"}, {"user", "U"}, {"assistant", "A"}, {"user", "V"}})) {
    text += part.text;
  }
  EXPECT_EQ(text, "S\n\nUser: U\nAssistant: A\nUser: V\nAssistant:");
  EXPECT_EQ(plain.response_lead(), " ");
  EXPECT_EQ(tiny().chat_template().response_lead(), "");
}

TEST(Template, MarksWhatTheUserWrote) {
  const ChatTemplate plain(ChatTemplate::plain_source(), "<s>", "</s>", {});
  for (const auto& part : plain.render_prompt({{"user", "UUU"}})) {
    EXPECT_EQ(part.from_user, part.text.find("UUU") != std::string::npos) << part.text;
  }
}

TEST(Template, KeepsControlTextsOfAContentTheUsers) {
  const std::vector<std::string> controls{"<|end|>", "<s>"};
  const std::string own = "\xF3\xB0\x80\x81";  // a private-use character, such as stands for a covered text
  for (const char* filter : {"| tojson", ".split('y')[0]", "| trim", ""}) {
    const ChatTemplate used(
        std::string("{{ '<|end|>' }}{% for m in messages %}{{ m['content'] ") + filter + " }}{% endfor %}", "", "",
        controls);
    std::string from_template;
    std::string all;
    for (const auto& part : used.render_prompt({{"user", "a<|end|>b<s>" + own}})) {
      all += part.text;
      if (!part.from_user) from_template += part.text;
    }
    EXPECT_EQ(from_template.find("<s>"), std::string::npos) << filter;
    EXPECT_EQ(from_template.rfind("<|end|>"), 0u) << filter;
    EXPECT_NE(all.find("a<|end|>b<s>" + own), std::string::npos) << filter << ": " << all;
  }
}

TEST(Template, PutsASystemMessageFirstWhereTheModelKnowsNone) {
  const ChatTemplate strict(
      "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
      "[{{ m['content'] }}]{% endfor %}",
      "", "", {});
  std::string text;
  for (const auto& part : strict.render_prompt({{"system", "S"}, {"user", "U"}})) text += part.text;
  EXPECT_EQ(text, "[S\nU][");  // with what it writes in front of an answer
}

TEST(Template, FillsContentPartsWhereTheModelWantsThem) {
  const ChatTemplate typed(
      "{% for m in messages %}{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
      "{% endif %}{% endfor %}{% endfor %}",
      "", "", {});
  std::string text;
  for (const auto& part : typed.render_prompt({{"user", "hello"}})) text += part.text;
  EXPECT_EQ(text, "hello");
}

TEST(Template, RefusesHostileSources) {
  const auto use = [](const std::string& source) { ChatTemplate(source, "", "", {}).render_prompt({{"user", "x"}}); };
  std::string nots = "{{ ";
  for (int i = 0; i < 60000; ++i) nots += "not ";
  std::string elifs = "{% if a %}";
  for (int i = 0; i < 10000; ++i) elifs += "{% elif a %}";
  std::string sets;
  for (int i = 0; i < 10000; ++i) sets += "{% set a %}";
  std::string ifs;
  for (int i = 0; i < 10000; ++i) ifs += "{% if a %}";
  for (const std::string& source :
       {std::string("{{ unclosed"), std::string("{% if %}"), std::string("{% endfor %}"), std::string("{{ 'x"),
        std::string("{{ ") + std::string(100000, '('), std::string("{{ ") + std::string(100000, '['), nots + "1 }}",
        elifs, sets, ifs, std::string(300000, 'x'), std::string("{{ raise_exception('no') }}")}) {
    EXPECT_EQ(error_code_of([&] { use(source); }), ErrorCode::BadInput) << source.substr(0, 40);
  }
}

TEST(Template, RefusesSourcesThatDoNotEnd) {
  for (const char* source :
       {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{% for i in range(1000000000000) %}{{ i }}{% endfor %}"}) {
    EXPECT_EQ(error_code_of([&] { ChatTemplate(source, "", "", {}); }), ErrorCode::BadInput) << source;
  }
}

TEST(Backbone, RefusesWhatIsNoModel) {
  const TemporaryFolder folder;
  const auto load = [](const std::filesystem::path& path) { return error_code_of([&] { Backbone{path}; }); };
  write_file(folder / "empty", "");
  write_file(folder / "text", "{\"prompt\": \"this is no model, and long enough for a header\"}");
  EXPECT_EQ(load(folder / "missing"), ErrorCode::BadInput);
  EXPECT_EQ(load(folder.path()), ErrorCode::BadInput);
  EXPECT_EQ(load(folder / "empty"), ErrorCode::BadInput);
  EXPECT_EQ(load(folder / "text"), ErrorCode::BadInput);
  EXPECT_EQ(load(test_file("tiny-llama-states.safetensors")), ErrorCode::BadInput);
}

TEST(Backbone, RefusesEveryTruncation) {
  const TemporaryFolder folder;
  const std::string whole = read_file(test_file("tiny-llama.gguf"));
  for (std::size_t size = 24; size < whole.size(); size += 1 + size / 64) {
    write_file(folder / "cut.gguf", std::string_view(whole).substr(0, size));
    ASSERT_EQ(error_code_of([&] { Backbone{folder / "cut.gguf"}; }), ErrorCode::CorruptFile) << size;
  }
}

/// Damage anywhere in the header ends in an Error or in a model that can be evaluated, never in a crash. Each case
/// runs in a process of its own, because a crash inside llama.cpp would take the test with it.
TEST(Backbone, SurvivesDamagedHeaders) {
  const TemporaryFolder folder;
  const std::string whole = read_file(test_file("tiny-llama.gguf"));
  const std::size_t header = whole.size() - 4 * (tiny().identity().parameters);
  Random random(11);
  const int cases = std::getenv("COALA_FUZZ_CASES") != nullptr ? std::atoi(std::getenv("COALA_FUZZ_CASES")) : 60;
  int refused = 0;
  for (int i = 0; i < cases; ++i) {
    std::string damaged = whole;
    // The vocabulary takes most of the header: every other case aims at what comes before and after it.
    const std::size_t at = i % 2 == 0 ? random.below(header) : random.below(1200);
    damaged[at] = static_cast<char>(random.below(3) == 0 ? 0xff : random.below(256));
    write_file(folder / "damaged.gguf", damaged);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::alarm(60);
      int status = 0;
      try {
        const Backbone backbone(folder / "damaged.gguf");
        StateEvaluator evaluator(backbone, {.longest_tokens = 8, .threads = 1});
        states_of(evaluator, {1, 5, 9});
      } catch (const Error&) {
        status = 1;
      }
      ::_exit(status);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "case " << i << ": byte " << at << " set to "
                                   << static_cast<int>(static_cast<unsigned char>(damaged[at])) << " ended with signal "
                                   << WTERMSIG(status);
    refused += WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 1 : 0;
  }
  EXPECT_GT(refused, 0);
}

/// The fixture with some bytes of its header replaced by as many others.
std::string patched(const std::string& from, const std::string& to) {
  std::string bytes = read_file(test_file("tiny-llama.gguf"));
  const auto at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(from.size(), to.size());
  return bytes.replace(at, to.size(), to);
}

std::string flag(const std::string& key, bool value) {
  return key + std::string("\7\0\0\0", 4) + static_cast<char>(value);  // the type BOOL, little-endian
}

TEST(Tokenizer, AddsNoBosWhereTheModelWantsNone) {
  const TemporaryFolder folder;
  const std::string key = "tokenizer.ggml.add_bos_token";
  write_file(folder / "model.gguf", patched(flag(key, true), flag(key, false)));
  const Backbone backbone(folder / "model.gguf");
  EXPECT_FALSE(backbone.tokenizer().adds_bos());
  EXPECT_NE(backbone.identity().tokenizer_hash, tiny().identity().tokenizer_hash);
  const auto raw = encode(backbone, {{{"user", "the"}}, ""}, TemplateMode::Raw);
  EXPECT_EQ(std::count(raw.begin(), raw.end(), 1), 0);
  EXPECT_TRUE(encode(backbone, {}).empty());
  EXPECT_EQ(backbone.encode_response(backbone.encode_prompt({}), "the").size(), 1u);
  // The template of this model writes one out; that is the template's decision.
  EXPECT_EQ(encode(backbone, {{{"user", "the"}}, ""}), encode(tiny(), {{{"user", "the"}}, ""}));
}

TEST(Backbone, WithoutATemplateUsesThePlainOne) {
  const TemporaryFolder folder;
  write_file(folder / "model.gguf", patched("tokenizer.chat_template", "tokenizer.chat_nothing_"));
  const Backbone backbone(folder / "model.gguf");
  EXPECT_EQ(backbone.identity().template_source, "plain");
  EXPECT_NE(backbone.identity().template_hash, tiny().identity().template_hash);
  EXPECT_EQ(encode(backbone, {{{"user", "the"}}, ""}), encode(backbone, {{}, "User: the\nAssistant:"}));
}

TEST(Backbone, TakesTextsWordForWord) {
  // The two ways in which TRL writes one example: a prompt in front, and a text that both begin with.
  const EncodedPrompt asked = tiny().encode_prompt({{{"user", "the hen"}}, ""}, TemplateMode::None);
  EXPECT_EQ(asked.tokens, tiny().encode_prompt({{}, "the hen"}).tokens);
  EXPECT_EQ(tiny().encode_response(asked, " inn"),
            tiny().encode_response(tiny().encode_prompt({{}, "the hen"}), " inn"));
  EXPECT_EQ(tiny().encode_prompt({{{"user", "the"}, {"assistant", " hen"}}, ""}, TemplateMode::None).tokens,
            asked.tokens);
}

TEST(Backbone, ReadsTextsThatCarryATemplate) {
  const Prompt prompt{{{"user", "the hen"}}, ""};
  std::string rendered;
  for (const TextPart& part : tiny().chat_template().render_prompt(prompt.messages, Thinking::Off))
    rendered += part.text;
  const std::string marker = tiny().control_text_in(rendered);
  ASSERT_FALSE(marker.empty()) << rendered;
  EXPECT_TRUE(tiny().control_text_in("no marker < here >").empty());
  const EncodedPrompt plain = tiny().encode_prompt(prompt);
  EXPECT_EQ(tiny().encode_prompt({{{"user", rendered}}, ""}, TemplateMode::Parsed).tokens, plain.tokens);
  EXPECT_GT(tiny().encode_prompt({{{"user", rendered}}, ""}, TemplateMode::None).tokens.size(), plain.tokens.size());
  // A control token in the response is one token, where it would be many characters.
  const EncodedPrompt parsed = tiny().encode_prompt({{{"user", rendered}}, ""}, TemplateMode::Parsed);
  EXPECT_EQ(tiny().encode_response(parsed, "inn" + marker).size(), tiny().encode_response(parsed, "inn").size() + 1);
  EXPECT_GT(tiny().encode_response(plain, "inn" + marker).size(), tiny().encode_response(plain, "inn").size() + 1);
}

TEST(Backbone, RefusesAVocabularyWithoutWeights) {
  const TemporaryFolder folder;
  std::string whole = read_file(test_file("tiny-llama.gguf"));
  std::fill_n(whole.begin() + 8, 8, '\0');  // the number of tensors
  write_file(folder / "vocab.gguf", whole);
  EXPECT_EQ(error_code_of([&] { Backbone{folder / "vocab.gguf"}; }), ErrorCode::BadInput);
}

TEST(Backbone, RefusesSharedVocabulariesWithoutWeights) {
  COALA_NEEDS_SHARED("models/vocabs/ggml-vocab-gpt-2.gguf");
  for (const char* name : {"models/vocabs/ggml-vocab-gpt-2.gguf", "models/vocabs/ggml-vocab-llama-spm.gguf"}) {
    EXPECT_EQ(error_code_of([&] { Backbone{shared_file(name)}; }), ErrorCode::BadInput);
  }
}

TEST(Backbone, WithoutATemplateGetsThePlainOne) {
  COALA_NEEDS_SHARED("models/stories260K/stories260K-f32.gguf");
  const Backbone backbone(shared_file("models/stories260K/stories260K-f32.gguf"));
  EXPECT_EQ(backbone.identity().template_source, "plain");
  EXPECT_EQ(backbone.identity().dimension, 64u);
  const EncodedPrompt messages = backbone.encode_prompt({{{"user", "Hi"}}, ""});
  const EncodedPrompt text = backbone.encode_prompt({{}, "User: Hi\nAssistant:"});
  EXPECT_EQ(messages.tokens, text.tokens);
  EXPECT_EQ(backbone.encode_response(messages, "Hello there"), backbone.encode_response(text, " Hello there"));
  EXPECT_EQ(backbone.encode_prompt({{{"user", "Hi"}}, ""}, TemplateMode::Raw).tokens,
            backbone.encode_prompt({{}, "Hi\n"}).tokens);
}

TEST(Backbone, LoadsAndRunsAQuantisedModel) {
  COALA_NEEDS_SHARED("models/imdb-llama/imdb-llama-7m-q8_0.gguf");
  const Backbone full(shared_file("models/imdb-llama/imdb-llama-7m-f16.gguf"));
  const Backbone quantised(shared_file("models/imdb-llama/imdb-llama-7m-q8_0.gguf"));
  EXPECT_EQ(full.identity().quantization, "F16");
  EXPECT_EQ(quantised.identity().quantization, "Q8_0");
  EXPECT_NE(full.identity().hash, quantised.identity().hash);
  EXPECT_EQ(full.identity().tokenizer_hash, quantised.identity().tokenizer_hash);
  auto tokens = encode(full, {{}, "This film was a complete waste of time, and the acting was"});
  StateEvaluator a(full, {.longest_tokens = 256, .threads = 1});
  StateEvaluator b(quantised, {.longest_tokens = 256, .threads = 1});
  EXPECT_TRUE(a.skips_output());
  EXPECT_TRUE(b.skips_output());
  const auto x = states_of(a, tokens);
  const auto y = states_of(b, tokens);
  for (std::size_t t = 0; t < x.size(); ++t) {
    // Eight bits a weight: 2^-8 of the largest of each block, a few percent after six layers; not garbage.
    EXPECT_LE(distance(x[t], y[t]), 0.2 * norm(x[t])) << t;
    EXPECT_GT(distance(x[t], y[t]), 0) << t;
  }
}

}  // namespace
}  // namespace coala
