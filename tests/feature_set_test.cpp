#include "features/feature_set.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/atomic_file.h"
#include "core/half.h"
#include "core/safetensors.h"
#include "core/version.h"
#include "features/feature_index.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;
using test::TemporaryFolder;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A file made of tensors, in the order in which they are added.
class FeatureFile {
 public:
  template <class T>
  FeatureFile& add(const std::string& name, Dtype dtype, std::vector<std::size_t> shape, std::vector<T> values) {
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    tensors_.push_back({name, dtype, std::move(shape), std::string(bytes, values.size() * sizeof(T))});
    return *this;
  }
  FeatureFile& floats(const std::string& name, std::vector<std::size_t> shape, std::vector<float> values) {
    return add<float>(name, Dtype::F32, std::move(shape), std::move(values));
  }
  FeatureFile& metadata(std::map<std::string, std::string> values) {
    metadata_ = std::move(values);
    return *this;
  }
  FeatureSet load() const {
    const TemporaryFolder folder;
    SafetensorsWriter writer(folder / "features.safetensors");
    writer.set_metadata(metadata_);
    for (const auto& tensor : tensors_) writer.declare(tensor.name, tensor.dtype, tensor.shape);
    for (const auto& tensor : tensors_) writer.append(tensor.bytes.data(), tensor.bytes.size());
    writer.commit();
    return load_features(folder / "features.safetensors");
  }
  ErrorCode error() const {
    return error_code_of([this] { load(); });
  }
  std::string message() const {
    try {
      load();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

 private:
  struct Tensor {
    std::string name;
    Dtype dtype;
    std::vector<std::size_t> shape;
    std::string bytes;
  };
  std::vector<Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

FeatureFile pairs() {
  return FeatureFile().floats("chosen", {2, 3}, {1, 2, 3, 4, 5, 6}).floats("rejected", {2, 3}, {0, 0, 1, 0, 1, 0});
}

FeatureFile labelled() {
  return FeatureFile()
      .floats("features", {3, 2}, {1, 2, 3, 4, 5, 6})
      .add<std::int8_t>("labels", Dtype::I8, {3}, {1, -1, 1});
}

TEST(FeatureSet, ReadsPairs) {
  const FeatureSet set = pairs()
                             .add<std::int64_t>("prompt_id", Dtype::I64, {2}, {7, 7})
                             .add<std::int32_t>("length_chosen", Dtype::I32, {2}, {10, 20})
                             .add<std::int32_t>("length_rejected", Dtype::I32, {2}, {30, 0})
                             .floats("weight", {2}, {1, 0.5f})
                             .floats("margin", {2}, {-1, 2})
                             .floats("something_else", {1}, {kNan})
                             .load();
  EXPECT_EQ(set.kind, FeatureKind::Pairs);
  EXPECT_EQ(set.rows(), 2u);
  EXPECT_EQ(set.dimension(), 3u);
  EXPECT_EQ(set.chosen(1, 0), 4);
  EXPECT_EQ(set.rejected(0, 2), 1);
  EXPECT_TRUE(set.has_prompt_id);
  EXPECT_EQ(set.prompt_id, (std::vector<std::int64_t>{7, 7}));
  EXPECT_EQ(set.length_rejected, (std::vector<std::int32_t>{30, 0}));
  EXPECT_EQ(set.weight, (std::vector<float>{1, 0.5f}));
  EXPECT_EQ(set.margin, (std::vector<float>{-1, 2}));
  EXPECT_FALSE(set.bound());
}

TEST(FeatureSet, ReadsLabelledRowsWithoutTheOptionalColumns) {
  const FeatureSet set = labelled().load();
  EXPECT_EQ(set.kind, FeatureKind::Labelled);
  EXPECT_EQ(set.rows(), 3u);
  EXPECT_EQ(set.dimension(), 2u);
  EXPECT_EQ(set.labels, (std::vector<std::int8_t>{1, -1, 1}));
  EXPECT_FALSE(set.has_prompt_id);
  EXPECT_EQ(set.prompt_id, (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_TRUE(set.length.empty());
  EXPECT_TRUE(set.weight.empty());
}

TEST(FeatureSet, ReadsHalfPrecision) {
  const FeatureSet set = FeatureFile()
                             .add<std::uint16_t>("chosen", Dtype::F16, {1, 2}, {f32_to_f16(1.5f), f32_to_f16(-2)})
                             .add<std::uint16_t>("rejected", Dtype::BF16, {1, 2}, {f32_to_bf16(3), f32_to_bf16(0.25f)})
                             .load();
  EXPECT_EQ(set.chosen(0, 0), 1.5f);
  EXPECT_EQ(set.chosen(0, 1), -2);
  EXPECT_EQ(set.rejected(0, 1), 0.25f);
}

TEST(FeatureSet, IsBoundWhenItSaysWhereItComesFrom) {
  std::map<std::string, std::string> metadata{{"fingerprint", "a"},
                                              {"backbone.hash", "b"},
                                              {"tokenizer.hash", "c"},
                                              {"template.hash", "d"},
                                              {"pooling", "mean"}};
  const FeatureSet set = pairs().metadata(metadata).load();
  EXPECT_TRUE(set.bound());
  EXPECT_EQ(set.metadata_value("pooling"), "mean");
  EXPECT_EQ(set.metadata_value("absent"), "");
  metadata.erase("backbone.hash");
  EXPECT_FALSE(pairs().metadata(metadata).load().bound());
}

TEST(FeatureSet, OfStatesThatWereComputedWronglyIsRefused) {
  std::map<std::string, std::string> metadata{{"backbone.engine", "llama.cpp 1"}};
  EXPECT_EQ(error_code_of([&] { pairs().metadata(metadata).load(); }), ErrorCode::Mismatch);
  metadata["backbone.states"] = kStatesVersion;
  EXPECT_NO_THROW(pairs().metadata(metadata).load());
  // What another program made says nothing of ours.
  EXPECT_NO_THROW(pairs().metadata({{"backbone", "somebody's"}}).load());
}

TEST(FeatureSet, NamesTheFirstValueThatIsNotFinite) {
  const std::string message = FeatureFile()
                                  .floats("chosen", {2, 3}, {1, 2, 3, 4, kNan, kInfinity})
                                  .floats("rejected", {2, 3}, {1, 2, 3, 4, 5, 6})
                                  .message();
  EXPECT_NE(message.find("'chosen'"), std::string::npos) << message;
  EXPECT_NE(message.find("row 1, column 1"), std::string::npos) << message;
  EXPECT_EQ(FeatureFile().floats("features", {1, 1}, {kInfinity}).floats("labels", {1}, {1}).error(),
            ErrorCode::BadInput);
}

TEST(FeatureSet, RefusesShapesThatDisagree) {
  EXPECT_EQ(FeatureFile().floats("chosen", {1, 2}, {1, 2}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("chosen", {1, 2}, {1, 2}).floats("rejected", {1, 1}, {1}).error(),
            ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("chosen", {1, 2}, {1, 2}).floats("rejected", {2, 2}, {1, 2, 3, 4}).error(),
            ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("chosen", {2}, {1, 2}).floats("rejected", {2}, {1, 2}).error(),
            ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("chosen", {0, 2}, {}).floats("rejected", {0, 2}, {}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("chosen", {2, 0}, {}).floats("rejected", {2, 0}, {}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("x", {1}, {1}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(pairs().floats("weight", {3}, {1, 1, 1}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(pairs().floats("margin", {2, 1}, {1, 1}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(pairs().add<std::int64_t>("prompt_id", Dtype::I64, {1}, {1}).error(), ErrorCode::CorruptFile);
  EXPECT_EQ(pairs().floats("features", {1, 1}, {1}).error(), ErrorCode::CorruptFile);
}

TEST(FeatureSet, RefusesWrongTypesAndValues) {
  EXPECT_EQ(FeatureFile()
                .add<std::int32_t>("chosen", Dtype::I32, {1, 1}, {1})
                .add<std::int32_t>("rejected", Dtype::I32, {1, 1}, {1})
                .error(),
            ErrorCode::CorruptFile);
  EXPECT_EQ(FeatureFile().floats("features", {1, 1}, {1}).floats("labels", {1}, {1}).error(), ErrorCode::CorruptFile);
  for (const std::int8_t label : std::vector<std::int8_t>{0, 2, -128}) {
    EXPECT_EQ(FeatureFile().floats("features", {1, 1}, {1}).add<std::int8_t>("labels", Dtype::I8, {1}, {label}).error(),
              ErrorCode::BadInput);
  }
  for (const float weight : {0.0f, -1.0f, kNan, kInfinity}) {
    EXPECT_EQ(pairs().floats("weight", {2}, {1, weight}).error(), ErrorCode::BadInput) << weight;
  }
  EXPECT_EQ(pairs().floats("margin", {2}, {kNan, 1}).error(), ErrorCode::BadInput);
  EXPECT_EQ(pairs().add<std::int32_t>("length_chosen", Dtype::I32, {2}, {1, -1}).error(), ErrorCode::BadInput);
  EXPECT_EQ(pairs().add<std::int64_t>("length_chosen", Dtype::I64, {2}, {1, 1ll << 40}).error(), ErrorCode::BadInput);
}

TEST(FeatureSet, SaysThatAFileIsMissingOrDamaged) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_code_of([] { load_features("/no/such/file"); }), ErrorCode::BadInput);
  write_file(folder / "text", "not a feature file at all");
  EXPECT_EQ(error_code_of([&] { load_features(folder / "text"); }), ErrorCode::CorruptFile);
}

TEST(FeatureSet, ReadsFeaturesOfOtherPrograms) {
  COALA_NEEDS_SHARED("data/features/alpaca_minilm_pairs.safetensors");
  const FeatureSet foreign = load_features(shared_file("data/features/alpaca_minilm_pairs.safetensors"));
  EXPECT_EQ(foreign.kind, FeatureKind::Pairs);
  EXPECT_EQ(foreign.dimension(), 384u);
  EXPECT_GT(foreign.rows(), 7000u);
  EXPECT_FALSE(foreign.bound());
  EXPECT_EQ(load_features(shared_file("data/features/imdb_llama.safetensors")).kind, FeatureKind::Labelled);
}

TEST(FeatureIndexFile, RefusesWhatIsNoCount) {
  const TemporaryFolder folder;
  const auto read_with = [&](const std::string& rows) {
    write_file(feature_index_path(folder.path()),
               R"({"format": "feature-store-1", "rows": )" + rows + R"(, "max_file_bytes": 100, "metadata": {},
                  "files": [{"name": "a", "rows": 3, "checksum": ""}]})");
    return read_feature_index(folder.path()).rows;
  };
  EXPECT_EQ(read_with("3"), 3u);
  for (const char* rows : {"3.0", "1e300", "99999999999999999999", "-3", "\"3\"", "null"}) {
    EXPECT_EQ(error_code_of([&] { read_with(rows); }), ErrorCode::CorruptFile) << rows;
  }
}

}  // namespace
}  // namespace coala
