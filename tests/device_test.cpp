// What a device computes, beside what the CPU computes: states, logits, tilts, scores, branches and greedy texts, with
// all layers on the device and with some. Skipped where there is no device; `make device-test DEVICE=vulkan`.
//
// A software device compiles a kernel for every number of rows from 1 to 8, for some of them in minutes. So the texts
// here come in batches of 1, 3 or many rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>

#include "core/random.h"
#include "core/resources.h"
#include "decode/branch_step.h"
#include "decode/generator.h"
#include "decode/token_tilt.h"
#include "extract/feature_extractor.h"
#include "extract/provenance.h"
#include "lm/hidden_states.h"
#include "lm/session.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;

constexpr std::size_t kGreedyTokens = 64;

/// The first device, hardware where there is one; "" for none.
std::string device_name() {
  const std::vector<DeviceInfo> devices = list_devices();
  return devices.size() > 1 ? devices[1].name : std::string();
}

/// A model, and how many of its layers are on the device.
struct Case {
  const char* name;
  std::filesystem::path path;
  std::size_t layers;
};

void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name << ", " << one.layers << " layers";
}

const Backbone& loaded(const std::filesystem::path& path, const DeviceChoice& choice) {
  static std::map<std::string, std::unique_ptr<Backbone>> models;
  auto& model = models[path.string() + choice.device + std::to_string(choice.layers.value_or(0))];
  if (!model) {
    ModelFile file(path);
    file.device = choice;
    model = std::make_unique<Backbone>(file);
  }
  return *model;
}

double norm(std::span<const float> x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

/// ||a - b|| / ||b||; infinite for vectors of two sizes or what is not finite.
double difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  const double result = std::sqrt(sum) / norm(b);
  return std::isfinite(result) ? result : INFINITY;
}

class OnDevice : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (device_name().empty()) GTEST_SKIP() << "no device: make device-test DEVICE=vulkan, on a machine with a driver";
    if (!std::filesystem::exists(GetParam().path)) GTEST_SKIP() << "no " << GetParam().path.filename().string();
    cpu_ = &loaded(GetParam().path, {});
    device_ = &loaded(GetParam().path, {device_name(), GetParam().layers});
  }

  const Backbone& cpu() const { return *cpu_; }
  const Backbone& device() const { return *device_; }

  /// What a state may be off by, relative to its size. A device that adds up products in half precision rounds by
  /// u = 2^-11 at each of k additions; with signs at random that is u sqrt(k / 6) of the sum (the partial sums grow as
  /// its root), and so much for each of the four products in a row of a block, whose errors add in squares. One that
  /// adds up in single precision may still have sines and cosines that are off by 2^-11 (Vulkan's specification,
  /// Precision of GLSL.std.450 Instructions), by which queries and keys are rotated: of scores of some units, as much
  /// times four. Weights in blocks of 8 bits meet rows that the CPU or the device rounds to 8 bits too, where there are
  /// few.
  double tolerance() const {
    const bool half = device().identity().device.starts_with("vulkan f16");
    const bool blocks = cpu().identity().quantization != "F16" && cpu().identity().quantization != "all F32";
    const auto layers = static_cast<double>(cpu().identity().layers);
    const double longest = 4.0 * static_cast<double>(cpu().identity().dimension);  // of the products' sums
    const double of_block = 0x1p-11 * (half ? 2 * std::sqrt(longest / 6) : 4);
    return of_block * std::sqrt(layers) + (blocks ? 4 * 0x1p-7 : 0);
  }

  std::vector<Token> random_tokens(std::size_t count, std::uint64_t seed) const {
    Random random(seed);
    std::vector<Token> tokens{1};
    const std::size_t words = cpu().tokenizer().size();
    while (tokens.size() < count) tokens.push_back(static_cast<Token>(3 + random.below(words - 3)));
    return tokens;
  }

  void report(const char* what, double largest) const {
    std::printf("%s, %zu of %zu layers: %s differ by %.2g at most (%.2g allowed)\n", GetParam().name,
                device().placement().layers, device().placement().all_layers, what, largest, tolerance());
  }

 private:
  const Backbone* cpu_ = nullptr;
  const Backbone* device_ = nullptr;
};

/// Sequences that share beginnings, in batches of many rows.
TEST_P(OnDevice, StatesAreThoseOfTheCpu) {
  std::vector<std::vector<Token>> tokens;
  for (std::uint64_t i = 0; i < 6; ++i) {
    tokens.push_back(random_tokens(20, i / 3));
    const std::vector<Token> tail = random_tokens(10 + i, 10 + i);
    tokens.back().insert(tokens.back().end(), tail.begin() + 1, tail.end());
  }
  const std::vector<TokenSequence> sequences(tokens.begin(), tokens.end());
  const std::size_t middle = (cpu().identity().layers + 1) / 2;
  for (const std::vector<std::size_t>& layers : {std::vector<std::size_t>{0}, {middle}, {middle, 0}}) {
    const auto states = [&](const Backbone& backbone) {
      StateEvaluator evaluator(backbone, {.longest_tokens = 64, .threads = 1, .layers = layers});
      std::map<std::pair<std::size_t, std::size_t>, std::vector<float>> all;
      evaluator.evaluate(sequences, [&](std::size_t sequence, std::size_t position, std::span<const float> state) {
        all[{sequence, position}].assign(state.begin(), state.end());
      });
      return all;
    };
    const auto expected = states(cpu());
    const auto found = states(device());
    ASSERT_EQ(found.size(), expected.size());
    double largest = 0;
    for (const auto& [place, state] : expected) {
      largest = std::max(largest, difference(found.at(place), state));
    }
    EXPECT_LE(largest, tolerance());
    report(layers.size() == 2 ? "states of two layers"
           : layers[0] == 0   ? "states"
                              : "states of a middle layer",
           largest);
  }
}

/// A feature, and what a linear head makes of it.
TEST_P(OnDevice, FeaturesAndScoresAreThoseOfTheCpu) {
  const EncodedPrompt prompt = cpu().encode_prompt({{{"user", "Why is the sky blue?"}}, ""});
  std::vector<Token> tokens = prompt.tokens;
  for (const Token token : cpu().encode_response(prompt, "Because of the air, which scatters blue light.")) {
    tokens.push_back(token);
  }
  const EncodedResponse response{tokens, prompt.tokens.size(), 0};
  const EncodedResponse* const one = &response;
  for (const Pooling pooling : {Pooling::Mean, Pooling::Last}) {
    const FeatureSettings how{.pooling = pooling, .max_length_tokens = 128};
    FeatureExtractor there(device(), how, 1);
    const Matrix<float> found = there.pool({&one, 1});
    const Matrix<float> expected = FeatureExtractor(cpu(), how, 1).pool({&one, 1});
    EXPECT_LE(difference(found.row(0), expected.row(0)), tolerance());
    Random random(4);
    double score = 0;
    double weights = 0;
    for (std::size_t j = 0; j < expected.cols(); ++j) {
      const double weight = random.normal();
      score += weight * (static_cast<double>(found(0, j)) - static_cast<double>(expected(0, j)));
      weights += weight * weight;
    }
    EXPECT_LE(std::abs(score), tolerance() * std::sqrt(weights) * norm(expected.row(0)));
    const Metadata metadata = describe_features(there, FeatureKind::Pairs, Dtype::F32, {});
    EXPECT_EQ(metadata.at("feature.device"), device().identity().device);
  }
}

/// A prompt, branches of it, branches of a branch, and a branch that is cut: as on the CPU at every step, and as a text
/// that is evaluated from its start.
TEST_P(OnDevice, BranchesAreThoseOfTheCpu) {
  const SessionOptions options{.sequences = 4, .cells = 128, .threads = 1};
  Session there(device(), options);
  Session here(cpu(), options);
  double largest = 0;
  const auto compare = [&](const Session::Output& found, const Session::Output& expected) {
    ASSERT_EQ(found.logits.size(), expected.logits.size());
    for (const double off : {difference(found.state, expected.state), difference(found.logits, expected.logits)}) {
      largest = std::max(largest, off);
      EXPECT_LE(off, tolerance());
    }
  };
  const std::vector<Token> prompt = random_tokens(12, 7);
  compare(there.start(0, prompt), here.start(0, prompt));
  const auto step = [&](const std::vector<Session::Row>& rows) {
    const std::span<const Session::Output> found = there.step(rows);
    const std::span<const Session::Output> expected = here.step(rows);
    for (std::size_t i = 0; i < rows.size(); ++i) compare(there.completed(found[i]), here.completed(expected[i]));
  };
  for (Session* session : {&there, &here}) {
    for (int to = 1; to < 4; ++to) session->fork(0, to);
  }
  step({{1, 6}, {2, 7}, {3, 8}});
  step({{1, 9, true}, {2, 10, false}, {3, 11, false}});
  for (Session* session : {&there, &here}) {
    session->drop(2);
    session->fork(1, 2);
    session->truncate(3, prompt.size() + 1);
  }
  step({{0, 5}, {2, 12}, {3, 13}});
  std::vector<Token> text = prompt;
  text.insert(text.end(), {8, 13});
  there.clear();
  here.clear();
  compare(there.start(0, text), here.start(0, text));
  step({{0, 14}});
  report("branches", largest);
}

/// The table of a token head is the file's; what it says goes by states of the device.
TEST_P(OnDevice, TokenTiltsAreThoseOfTheCpu) {
  constexpr std::size_t kRank = 8;
  const std::size_t d = cpu().identity().dimension;
  Random random(11);
  TokenHead head{Matrix<float>(kRank, d), Matrix<float>(kRank, kRank), Matrix<float>(kRank, d),
                 std::vector<float>(kRank)};
  for (Matrix<float>* matrix : {&head.states, &head.weights, &head.embeddings}) {
    for (float& value : matrix->values()) value = static_cast<float>(random.normal());
  }
  const OutputMatrix there_output(device());
  const OutputMatrix here_output(cpu());
  EXPECT_EQ(there_output.scale(), here_output.scale());
  const TokenTilt there_tilt(head, there_output, 1.0);
  const TokenTilt here_tilt(head, here_output, 1.0);
  Session there(device(), {.cells = 64});
  Session here(cpu(), {.cells = 64});
  const std::vector<Token> prompt = random_tokens(12, 3);
  const Session::Output found = there.start(0, prompt);
  const Session::Output expected = here.start(0, prompt);
  std::vector<float> found_tilt(found.logits.size());
  std::vector<float> expected_tilt(expected.logits.size());
  there_tilt.add(found.state, 1.0, found_tilt, there.threads());
  here_tilt.add(expected.state, 1.0, expected_tilt, here.threads());
  const double off = difference(found_tilt, expected_tilt);
  // The head projects on 8 directions, of which a state may have little: not more off than all of it, of random
  // directions sqrt(d / 8) times.
  EXPECT_LE(off, tolerance() * std::sqrt(static_cast<double>(d) / kRank));
  report("token tilts", off);
}

TEST_P(OnDevice, GreedyTextsAreThoseOfTheCpu) {
  const EncodedPrompt prompt = cpu().encode_prompt({{}, "Once upon a time there was a little girl, and she had a red"});
  const auto text = [&](const Backbone& backbone) {
    Session session(backbone, {.cells = 128, .threads = 1});
    std::vector<Token> tokens;
    Session::Output output = session.start(0, prompt.tokens);
    const double begun_s = monotonic_s();
    while (tokens.size() < kGreedyTokens) {
      tokens.push_back(static_cast<Token>(std::ranges::max_element(output.logits) - output.logits.begin()));
      const Session::Row row{0, tokens.back()};
      output = session.step({&row, 1}).front();
    }
    std::printf("%s: %.0f tokens/s on %s\n", GetParam().name,
                static_cast<double>(kGreedyTokens) / (monotonic_s() - begun_s), backbone.placement().name.c_str());
    return tokens;
  };
  const std::vector<Token> expected = text(cpu());
  EXPECT_EQ(text(device()), expected) << cpu().tokenizer().decode(expected, false);
}

/// Branch guidance by a reward head, token by token: the candidates' scores are those of the CPU for the same text.
TEST_P(OnDevice, GuidedRepliesHaveTheScoresOfTheCpu) {
  const std::size_t d = cpu().identity().dimension;
  Head head;
  head.transform = FeatureTransform::identity(d);
  head.network.theta1 = Matrix<float>(1, d);
  head.network.gates = Matrix<float>(1, d);
  Random random(21);
  double weights = 0;
  for (float& weight : head.network.theta1.values()) {
    weight = static_cast<float>(random.normal());
    weights += static_cast<double>(weight) * static_cast<double>(weight);
  }
  head.network.theta2 = {1.0f};
  GenerationSettings settings{.max_tokens = 12};
  settings.sampling = {.temperature = 0, .top_p = 1, .top_k = 0};
  settings.reward = RewardHead{&head, {}};
  settings.branch = BranchSettings{.scale = 2, .every = 2, .candidates = 3};
  const EncodedPrompt prompt = cpu().encode_prompt({{}, "the hen and the inn and the tree and the hill and the sea"});
  const Reply reply = Generator(device(), settings, prompt.tokens.size(), 1, 1).generate(prompt).front();
  ASSERT_FALSE(reply.tokens.empty());
  EXPECT_GT(reply.guided_steps, 0u);
  std::vector<Token> all = prompt.tokens;
  all.insert(all.end(), reply.tokens.begin(), reply.tokens.end());
  FeatureExtractor extractor(cpu(), {}, 1);
  const EncodedResponse response{all, prompt.tokens.size(), 0};
  const EncodedResponse* const one = &response;
  const Matrix<float> feature = extractor.pool({&one, 1});
  ASSERT_TRUE(reply.score.has_value());
  const double off = std::abs(*reply.score - head.score(feature.row(0))) / (std::sqrt(weights) * norm(feature.row(0)));
  EXPECT_LE(off, tolerance());
  report("scores of guided replies", off);
}

TEST_P(OnDevice, BfloatProductsAreRefused) {
  EXPECT_EQ(error_code_of([&] { StateEvaluator(device(), {.longest_tokens = 8, .precision = Precision::BF16}); }),
            ErrorCode::BadUsage);
}

TEST_P(OnDevice, SaysWhatRoundsTheStates) {
  EXPECT_EQ(device().placement().layers, GetParam().layers);
  EXPECT_NE(device().identity().device.find(" of "), std::string::npos) << device().identity().device;
  EXPECT_EQ(cpu().identity().device, "");
}

std::vector<Case> cases() {
  const std::filesystem::path demo = COALA_DEMO_MODEL;
  const std::filesystem::path stories = shared_file("models/stories260K/stories260K-f32.gguf");
  const std::filesystem::path imdb = shared_file("models/imdb-llama/imdb-llama-7m-q8_0.gguf");
  return {{"tutor_f16_all", demo, 6},
          {"tutor_f16_split", demo, 3},
          {"stories_f32_all", stories, 6},
          {"imdb_q8_0_all", imdb, 7}};
}

INSTANTIATE_TEST_SUITE_P(Models, OnDevice, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case>& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace coala
