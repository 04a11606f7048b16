#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "core/atomic_file.h"
#include "core/random.h"
#include "extract/extract.h"
#include "features/feature_index.h"
#include "features/feature_set.h"
#include "features/feature_subset.h"
#include "support.h"
#include "tiny_pairs.h"

namespace coala {
namespace {

using test::error_code_of;
using test::options;
using test::sample_pairs;
using test::source_of;
using test::TemporaryFolder;
using test::tiny;

/// As many rows as 2,000 bytes hold; a folder instead of a file.
ExtractOptions small_files() {
  ExtractOptions result = options();
  result.max_file_bytes = 2000;
  return result;
}

TEST(FeatureStore, IsSplitIntoFilesWithTheSameRows) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(23);
  extract_pairs(tiny(), source_of(pairs), folder / "whole", options());
  extract_pairs(tiny(), source_of(pairs), folder / "store", small_files());
  const FeatureSet whole = load_features(folder / "whole");
  const FeatureSet store = load_features(folder / "store");
  // A row has 2 * 32 numbers of 4 bytes, an identifier of 8 and two lengths of 4: 272 bytes, 7 to a file.
  const FeatureIndex index = read_feature_index(folder / "store");
  ASSERT_EQ(index.files.size(), 4u);
  EXPECT_EQ(index.files[0].rows, 7u);
  EXPECT_EQ(index.files[3].rows, 2u);
  for (const auto& file : index.files) EXPECT_TRUE(std::filesystem::exists(folder / "store" / file.name)) << file.name;
  ASSERT_EQ(store.rows(), whole.rows());
  EXPECT_EQ(store.prompt_id, whole.prompt_id);
  EXPECT_EQ(store.length_chosen, whole.length_chosen);
  EXPECT_EQ(store.length_rejected, whole.length_rejected);
  EXPECT_EQ(store.metadata, whole.metadata);
  for (std::size_t i = 0; i < whole.rows(); ++i) {
    EXPECT_EQ(store.chosen.row(i), whole.chosen.row(i)) << i;
    EXPECT_EQ(store.rejected.row(i), whole.rejected.row(i)) << i;
  }
  EXPECT_EQ(load_features(folder / "store" / index.files[1].name).chosen.row(0), whole.chosen.row(7));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2) << "something was left behind";
}

TEST(FeatureStore, IsKeptOrRefusedAsAWhole) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(23);
  extract_pairs(tiny(), source_of(pairs), folder / "out", small_files());
  EXPECT_TRUE(extract_pairs(tiny(), source_of(pairs), folder / "out", small_files()).up_to_date);
  ExtractOptions other = options();
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "out", other); }),
            ErrorCode::Mismatch);
  other = small_files();
  other.features.pooling = Pooling::Last;
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "out", other); }),
            ErrorCode::Mismatch);
  other.replace = true;  // by another store, by a file, and back
  extract_pairs(tiny(), source_of(pairs), folder / "out", other);
  EXPECT_EQ(load_features(folder / "out").metadata_value("pooling"), "last");
  other.max_file_bytes = 0;
  extract_pairs(tiny(), source_of(pairs), folder / "out", other);
  EXPECT_TRUE(std::filesystem::is_regular_file(folder / "out"));
  other.max_file_bytes = 3000;
  extract_pairs(tiny(), source_of(pairs), folder / "out", other);
  EXPECT_EQ(load_features(folder / "out").rows(), 23u);

  std::filesystem::create_directory(folder / "mine");
  write_file(folder / "mine/notes", "somebody's folder, not to be replaced");
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "mine", other); }),
            ErrorCode::Mismatch);
  EXPECT_TRUE(std::filesystem::exists(folder / "mine/notes"));
}

TEST(FeatureStore, WithAMissingOrExchangedFileIsAnError) {
  const TemporaryFolder folder;
  extract_pairs(tiny(), source_of(sample_pairs(23)), folder / "out", small_files());
  const FeatureIndex index = read_feature_index(folder / "out");
  const auto first = folder / "out" / index.files[0].name;
  const auto second = folder / "out" / index.files[1].name;
  const auto loading = [&] { return error_code_of([&] { load_features(folder / "out"); }); };
  const std::string bytes = read_file(first);
  write_file(first, read_file(second));  // sound by itself
  EXPECT_EQ(loading(), ErrorCode::CorruptFile);
  write_file(first, bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(loading(), ErrorCode::CorruptFile);
  std::filesystem::remove(first);
  EXPECT_EQ(loading(), ErrorCode::CorruptFile);
  write_file(first, bytes);
  EXPECT_EQ(load_features(folder / "out").rows(), 23u);

  // Any damage to the index is an error or leaves what it says as it was.
  const std::string text = read_file(feature_index_path(folder / "out"));
  Random random(4);
  for (int trial = 0; trial < 300; ++trial) {
    std::string damaged = text;
    if (trial % 3 == 0) {
      damaged.resize(random.below(text.size()));
    } else {
      damaged[random.below(text.size())] = static_cast<char>(random.below(128));
    }
    write_file(feature_index_path(folder / "out"), damaged);
    try {
      EXPECT_EQ(load_features(folder / "out").rows(), 23u);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::CorruptFile);
    }
  }
}

/// What a feature of the first `tokens` tokens of a response must be: that of a response which ends there.
std::vector<float> feature_of_beginning(const ExtractOptions& how, const EncodedResponse& response,
                                        std::size_t tokens) {
  FeatureSettings settings = how.features;
  settings.prefix_every_tokens = 0;
  FeatureExtractor extractor(tiny(), settings, 1);
  EncodedResponse cut = response;
  cut.tokens.resize(std::min(cut.tokens.size(), cut.prompt_tokens + tokens));
  const EncodedResponse* const one = &cut;
  const Matrix<float> feature = extractor.pool({&one, 1});
  return {feature.row(0).begin(), feature.row(0).end()};
}

TEST(PrefixRows, AreTheFeaturesOfTheBeginnings) {
  const auto pairs = sample_pairs(12);
  for (const Pooling pooling : {Pooling::Mean, Pooling::Last, Pooling::MeanAndLast}) {
    for (const PoolOver over : {PoolOver::Response, PoolOver::All}) {
      const TemporaryFolder folder;
      ExtractOptions how = options();
      how.features.pooling = pooling;
      how.features.over = over;
      how.features.prefix_every_tokens = 5;
      extract_pairs(tiny(), source_of(pairs), folder / "out", how);
      const FeatureSet set = load_features(folder / "out");
      const FeatureExtractor encoder(tiny(), how.features, 1);
      std::size_t row = 0;
      for (const Pair& pair : pairs) {
        FeatureCounts counts;
        const auto responses =
            encoder.encode(pair.prompt, std::array<std::string_view, 2>{pair.chosen, pair.rejected}, counts);
        const std::size_t longest =
            std::max(responses[0].tokens.size(), responses[1].tokens.size()) - responses[0].prompt_tokens;
        const std::size_t rows = (longest + 4) / 5;
        for (std::size_t k = 1; k <= rows; ++k, ++row) {
          ASSERT_LT(row, set.rows());
          EXPECT_EQ(set.prefix_tokens[row], k == rows ? 0 : static_cast<int>(5 * k));
          EXPECT_FLOAT_EQ(set.weight[row], 1.0f / static_cast<float>(rows));
          const auto chosen = feature_of_beginning(how, responses[0], 5 * k);
          const auto rejected = feature_of_beginning(how, responses[1], 5 * k);
          ASSERT_EQ(chosen.size(), set.dimension());
          // Other neighbours: the states differ by rounding.
          for (std::size_t j = 0; j < chosen.size(); ++j) {
            EXPECT_NEAR(set.chosen(row, j), chosen[j], 1e-5);
            EXPECT_NEAR(set.rejected(row, j), rejected[j], 1e-5);
          }
        }
      }
      EXPECT_EQ(row, set.rows());
      const FeatureSet whole = whole_rows(set);
      how.features.prefix_every_tokens = 0;
      extract_pairs(tiny(), source_of(pairs), folder / "plain", how);
      const FeatureSet plain = load_features(folder / "plain");
      ASSERT_EQ(whole.rows(), plain.rows());
      for (std::size_t i = 0; i < plain.rows(); ++i) {
        EXPECT_EQ(whole.chosen.row(i), plain.chosen.row(i)) << i;  // evaluated alike, so to the bit
        EXPECT_EQ(whole.rejected.row(i), plain.rejected.row(i)) << i;
      }
    }
  }
}

}  // namespace
}  // namespace coala
