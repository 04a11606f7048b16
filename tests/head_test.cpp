// The head file, the transform and the binding between a head and a model.
#include "head/head.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/random.h"
#include "core/safetensors.h"
#include "core/version.h"
#include "reference.h"
#include "support.h"

namespace coala {
namespace {

const std::map<std::string, std::string> kBinding{{"backbone.states", kStatesVersion},
                                                  {"backbone.hash", "b1"},
                                                  {"tokenizer.hash", "t1"},
                                                  {"template.hash", "c1"},
                                                  {"bos", "one"},
                                                  {"feature.tensor", "f1"},
                                                  {"feature.layer", "12"},
                                                  {"pooling", "mean"},
                                                  {"pooling.over", "response"},
                                                  {"max_length", "512"}};

Head sample_head(bool gated, std::size_t d = 5, std::size_t m = 3) {
  Random random(d + m);
  Head head;
  head.network.theta1 = test::normal_matrix(m, d, random);
  if (gated) {
    head.network.gates = test::normal_matrix(m, d, random);
    for (float& value : head.network.gates.row(0)) value = 0;
  }
  for (std::size_t j = 0; j < m; ++j) head.network.theta2.push_back(static_cast<float>(random.normal()));
  head.network.bias = 0.125f;
  for (std::size_t j = 0; j < d; ++j) {
    head.transform.mean.push_back(static_cast<float>(random.normal()));
    head.transform.scale.push_back(static_cast<float>(0.5 + random.uniform()));
  }
  head.metadata = kBinding;
  head.metadata["coala.format"] = "head-1";
  head.metadata["activation"] = gated ? "gated" : "relu";
  return head;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// The formula of docs/head-file.md.
double plain_score(const Head& head, std::span<const float> f) {
  double score = static_cast<double>(head.network.bias);
  for (std::size_t j = 0; j < head.network.neurons(); ++j) {
    double act = 0;
    double gate = 0;
    for (std::size_t i = 0; i < f.size(); ++i) {
      const auto x = static_cast<double>(
          static_cast<float>((static_cast<double>(f[i]) - head.transform.mean[i]) * head.transform.scale[i]));
      act += static_cast<double>(head.network.theta1(j, i)) * x;
      if (head.network.gated()) gate += static_cast<double>(head.network.gates(j, i)) * x;
    }
    if (head.network.gated() ? gate >= 0 : act > 0) score += static_cast<double>(head.network.theta2[j]) * act;
  }
  return score;
}

class HeadFile : public ::testing::TestWithParam<bool> {
 protected:
  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "head.safetensors";
};

TEST_P(HeadFile, ComesBackBitForBit) {
  for (const auto& [d, m] : {std::pair<std::size_t, std::size_t>{5, 3}, {1, 1}, {17, 2}, {2, 17}}) {
    const Head head = sample_head(GetParam(), d, m);
    save_head(head, path_);
    const Head back = load_head(path_);
    EXPECT_TRUE(same_bits(back.network.theta1.values(), head.network.theta1.values()));
    EXPECT_TRUE(same_bits(back.network.gates.values(), head.network.gates.values()));
    EXPECT_TRUE(same_bits(back.network.theta2, head.network.theta2));
    EXPECT_EQ(back.network.bias, head.network.bias);
    EXPECT_TRUE(same_bits(back.transform.mean, head.transform.mean));
    EXPECT_TRUE(same_bits(back.transform.scale, head.transform.scale));
    EXPECT_EQ(back.metadata, head.metadata);
    EXPECT_EQ(back.network.gated(), GetParam());
    const std::string first = read_file(path_);
    save_head(back, path_);
    EXPECT_EQ(read_file(path_), first);
    // In the file a neuron is a column.
    const SafetensorsFile file(path_);
    EXPECT_EQ(file.tensor("theta1").shape, (std::vector<std::size_t>{d, m}));
    const std::vector<float> theta1 = file.read_f32("theta1");
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j < m; ++j) EXPECT_EQ(theta1[i * m + j], head.network.theta1(j, i));
    }
  }
}

TEST_P(HeadFile, ScoreIsTheFormula) {
  const Head head = sample_head(GetParam());
  Random random(3);
  for (int k = 0; k < 100; ++k) {
    std::vector<float> f(5);
    for (float& value : f) value = static_cast<float>(2 * random.normal());
    EXPECT_NEAR(head.score(f), plain_score(head, f), 1e-12);
  }
}

TEST_P(HeadFile, EveryTruncationIsRefused) {
  save_head(sample_head(GetParam(), 2, 1), path_);
  EXPECT_NO_THROW(load_head(path_));
  std::ofstream(path_, std::ios::binary | std::ios::app) << "x";
  EXPECT_EQ(test::error_code_of([&] { load_head(path_); }), ErrorCode::CorruptFile);
  // Shortened in place, byte by byte: rewriting the file each time would wait for the disk.
  for (std::size_t size = std::filesystem::file_size(path_) - 1; size-- > 0;) {
    std::filesystem::resize_file(path_, size);
    ASSERT_EQ(test::error_code_of([&] { load_head(path_); }), ErrorCode::CorruptFile) << size;
  }
  EXPECT_EQ(test::error_code_of([&] { load_head(folder_ / "missing"); }), ErrorCode::BadInput);
}

TEST_P(HeadFile, FlippedBytesNeverCrash) {
  save_head(sample_head(GetParam()), path_);
  const std::string whole = read_file(path_);
  Random random(4);
  std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, char byte) { file.seekp(static_cast<long>(at)).put(byte).flush(); };
  for (int k = 0; k < 2000; ++k) {
    const std::size_t at = random.below(whole.size());
    put(at, static_cast<char>(random.below(256)));
    try {
      const Head head = load_head(path_);
      const std::vector<float> f(head.dimension(), 1.0f);
      static_cast<void>(head.probability(head.score(f)));
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::CorruptFile || error.code() == ErrorCode::Mismatch) << error.what();
    }
    put(at, whole[at]);
  }
}

/// Writes the tensors of a small head with one of them changed.
void write_changed(const std::filesystem::path& path, bool gated, const std::string& name,
                   std::optional<std::vector<std::size_t>> shape, Dtype dtype = Dtype::F32, float poison = 0) {
  std::map<std::string, std::vector<std::size_t>> shapes{
      {"theta1", {5, 3}}, {"theta2", {3}}, {"bias", {1}}, {"mean", {5}}, {"scale", {5}}};
  if (gated) shapes["gates"] = {5, 3};
  if (shape) {
    shapes[name] = *shape;
  } else {
    shapes.erase(name);
  }
  SafetensorsWriter writer(path);
  writer.set_metadata({{"coala.format", "head-1"}, {"activation", gated ? "gated" : "relu"}});
  for (const auto& [tensor, extent] : shapes) writer.declare(tensor, tensor == name ? dtype : Dtype::F32, extent);
  for (const auto& [tensor, extent] : shapes) {
    std::size_t count = 1;
    for (const std::size_t e : extent) count *= e;
    std::vector<float> values(count, 0.5f);
    if (tensor == name && poison != 0) values.back() = poison;
    writer.append(values.data(), count * dtype_bytes(tensor == name ? dtype : Dtype::F32));
  }
  writer.commit();
}

TEST_P(HeadFile, ReadingIsStrict) {
  write_changed(path_, GetParam(), "theta2", std::vector<std::size_t>{3});
  EXPECT_NO_THROW(load_head(path_));
  const auto refused = [&] { return test::error_code_of([&] { load_head(path_); }) == ErrorCode::CorruptFile; };
  std::vector<std::string> names{"theta1", "theta2", "bias", "mean", "scale"};
  if (GetParam()) names.push_back("gates");
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    write_changed(path_, GetParam(), name, std::nullopt);
    EXPECT_TRUE(refused()) << "missing";
    const bool matrix = name == "theta1" || name == "gates";
    const std::vector<std::size_t> right = matrix ? std::vector<std::size_t>{5, 3}
                                                  : std::vector<std::size_t>{name == "theta2" ? 3u
                                                                             : name == "bias" ? 1u
                                                                                              : 5u};
    for (std::vector<std::size_t> wrong : {right, right, right}) {
      static int which = 0;
      switch (which++ % 3) {
        case 0:
          wrong[0] += 1;
          break;
        case 1:
          wrong.push_back(1);
          break;
        default:
          wrong[0] = 0;
      }
      write_changed(path_, GetParam(), name, wrong);
      EXPECT_TRUE(refused()) << ::testing::PrintToString(wrong);
    }
    write_changed(path_, GetParam(), name, right, Dtype::F16);
    EXPECT_TRUE(refused()) << "F16";
    for (const float poison : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      write_changed(path_, GetParam(), name, right, Dtype::F32, poison);
      EXPECT_TRUE(refused()) << poison;
    }
  }
  write_changed(path_, GetParam(), "extra", std::vector<std::size_t>{2});
  EXPECT_TRUE(refused());
  if (!GetParam()) {  // gates in a head that says it has none
    write_changed(path_, false, "gates", std::vector<std::size_t>{5, 3});
    EXPECT_TRUE(refused());
  }
}

TEST_P(HeadFile, MetadataIsChecked) {
  const auto code_with = [&](const std::string& key, const std::string& value) {
    Head head = sample_head(GetParam());
    head.metadata[key] = value;
    save_head(head, path_);
    return test::error_code_of([&] { load_head(path_); });
  };
  EXPECT_EQ(code_with("coala.format", "head-2"), ErrorCode::Mismatch);
  EXPECT_EQ(code_with("coala.format", ""), ErrorCode::CorruptFile);
  EXPECT_EQ(code_with("activation", "tanh"), ErrorCode::CorruptFile);
  for (const char* slope : {"fast", "1x", "nan", "inf", "-1", "0", "1e-400", "1e999"}) {
    EXPECT_EQ(code_with("probability.slope", slope), ErrorCode::CorruptFile) << slope;
  }
  Head head = sample_head(GetParam());
  head.metadata["probability.slope"] = "2.5";
  save_head(head, path_);
  EXPECT_NEAR(load_head(path_).probability(0.4), 1 / (1 + std::exp(-1.0)), 1e-15);
  head.metadata["probability.slope"] = "1e-310";  // a denormal number
  save_head(head, path_);
  EXPECT_NEAR(load_head(path_).probability(3.0), 0.5, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Activations, HeadFile, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "gated" : "relu"; });

/// Heads whose features were computed wrongly, before files said what with, are refused, and so is a later version.
TEST(HeadBinding, StatesOfAnotherVersionAreRefused) {
  for (const bool of_head : {true, false}) {
    for (const char* version : {"", "1", "3"}) {
      Head head = sample_head(true);
      std::map<std::string, std::string> other = kBinding;
      auto& changed = of_head ? head.metadata : other;
      changed["backbone.states"] = version;
      if (*version == 0) changed.erase("backbone.states");
      try {
        check_head_matches(head, "my-head", 5, other, "the-features", true);
        ADD_FAILURE() << "version '" << version << "' was taken";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Mismatch);
        const std::string what = error.what();
        EXPECT_NE(what.find(of_head ? "my-head" : "the-features"), std::string::npos) << what;
        EXPECT_EQ(what.find("overwrite") != std::string::npos, std::string(version) != "3") << what;
      }
    }
  }
}

TEST(HeadBinding, EveryKeyIsCompared) {
  const Head head = sample_head(true);
  EXPECT_NO_THROW(check_head_matches(head, "h", 5, kBinding, "g", false));
  for (const auto& [key, value] : kBinding) {
    if (key == "backbone.states") continue;  // has a message of its own, below
    for (const bool missing : {false, true}) {
      if (missing && key == "backbone.hash") continue;  // that makes the other side unbound, below
      std::map<std::string, std::string> other = kBinding;
      if (missing) {
        other.erase(key);
      } else {
        other[key] = "another-value";
      }
      try {
        check_head_matches(head, "my-head", 5, other, "the-features", false);
        ADD_FAILURE() << key << " was not compared";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Mismatch);
        const std::string what = error.what();
        EXPECT_NE(what.find("my-head"), std::string::npos) << what;
        EXPECT_NE(what.find("the-features"), std::string::npos) << what;
        EXPECT_NE(what.find("'" + value + "'"), std::string::npos) << what;
        EXPECT_NE(what.find(missing ? "''" : "'another-value'"), std::string::npos) << what;
        EXPECT_FALSE(error.hint().empty());
      }
      // Permission to be unbound is no permission to be different.
      EXPECT_EQ(test::error_code_of([&] { check_head_matches(head, "h", 5, other, "g", true); }), ErrorCode::Mismatch);
    }
  }
}

TEST(HeadBinding, DimensionAndUnboundSides) {
  const Head bound = sample_head(true);
  Head unbound = bound;
  unbound.metadata.erase("backbone.hash");
  const std::map<std::string, std::string> nothing;
  const auto code = [](const Head& head, std::size_t d, const auto& metadata, bool allow) {
    return test::error_code_of([&] { check_head_matches(head, "h", d, metadata, "g", allow); });
  };
  EXPECT_EQ(code(bound, 6, kBinding, true), ErrorCode::Mismatch);
  EXPECT_EQ(code(bound, 5, nothing, false), ErrorCode::Mismatch);
  EXPECT_EQ(code(unbound, 5, kBinding, false), ErrorCode::Mismatch);
  EXPECT_NO_THROW(check_head_matches(bound, "h", 5, nothing, "g", true));
  EXPECT_NO_THROW(check_head_matches(unbound, "h", 5, kBinding, "g", true));
  EXPECT_NO_THROW(check_head_matches(unbound, "h", 5, nothing, "g", false));
}

void apply(const FeatureTransform& transform, Matrix<float>& rows) {
  for (std::size_t i = 0; i < rows.rows(); ++i) transform.apply(std::span<const float>(rows.row(i)), rows.row(i));
}

FeatureSet set_of(Matrix<float> features) {
  FeatureSet set;
  set.kind = FeatureKind::Labelled;
  set.features = std::move(features);
  return set;
}

TEST(Transform, StandardisesAndSwitchesOff) {
  Random random(6);
  constexpr std::size_t kRows = 1000;
  Matrix<float> features(kRows, 6);
  for (std::size_t i = 0; i < kRows; ++i) {
    features(i, 0) = static_cast<float>(3 + 2 * random.normal());
    features(i, 1) = 0.1f;  // constant, and no sum of it is exact
    features(i, 2) = static_cast<float>(-1000 + random.normal());
    features(i, 3) = static_cast<float>(1e-5 * random.normal());  // nearly constant beside the others
    features(i, 4) = 0;
    features(i, 5) = static_cast<float>(0.5 * random.normal());
  }
  FeatureTransform transform = standardising_transform(set_of(features));
  for (const std::size_t off : {1, 3, 4}) EXPECT_EQ(transform.scale[off], 0.0f) << off;
  Matrix<float> x = features;
  apply(transform, x);
  for (const std::size_t j : {0, 2, 5}) {
    double mean = 0;
    double square = 0;
    for (std::size_t i = 0; i < kRows; ++i) {
      mean += static_cast<double>(x(i, j)) / kRows;
      square += static_cast<double>(x(i, j)) * x(i, j) / kRows;
    }
    // The mean is stored in single precision: off by 2^-24 of itself, in units of the deviation.
    EXPECT_NEAR(mean, 0, j == 2 ? 1e-4 : 1e-6) << j;
    EXPECT_NEAR(square, 1, 1e-4) << j;
  }
}

TEST(Transform, MostColumnsConstant) {
  // The median deviation is then one of rounding; the constant columns must stay off all the same.
  Random random(7);
  Matrix<float> features(1000, 5);
  for (std::size_t i = 0; i < 1000; ++i) {
    for (std::size_t j = 0; j < 5; ++j) features(i, j) = 0.1f * static_cast<float>(j + 1);
    features(i, 0) = static_cast<float>(random.normal());
  }
  const FeatureTransform transform = standardising_transform(set_of(features));
  EXPECT_GT(transform.scale[0], 0.0f);
  for (std::size_t j = 1; j < 5; ++j) EXPECT_EQ(transform.scale[j], 0.0f) << j;
}

TEST(Transform, PairsCountBothSides) {
  FeatureSet set;
  set.chosen = Matrix<float>(1, 1, {2.0f});
  set.rejected = Matrix<float>(1, 1, {4.0f});
  const FeatureTransform transform = standardising_transform(set);
  EXPECT_EQ(transform.mean[0], 3.0f);
  EXPECT_EQ(transform.scale[0], 1.0f);
}

TEST(Transform, NothingOverflowsInSilence) {
  // Finite features whose scale or differences leave single precision: a clear error, or finite rows.
  for (const double size : {1e-44, 1e-42, 1e-39, 1e-30, 1e30, 3e38}) {
    Matrix<float> features(4, 1);
    for (std::size_t i = 0; i < 4; ++i) features(i, 0) = static_cast<float>(i % 2 == 0 ? size : -size);
    try {
      const FeatureTransform transform = standardising_transform(set_of(features));
      EXPECT_TRUE(std::isfinite(transform.mean[0]) && std::isfinite(transform.scale[0])) << size;
      apply(transform, features);
      for (const float value : features.values()) EXPECT_TRUE(std::isfinite(value)) << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadInput);
    }
  }
}

}  // namespace
}  // namespace coala
