#include "extract/extract.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include "core/atomic_file.h"
#include "core/random.h"
#include "extract/extract_file.h"
#include "extract/part_store.h"
#include "features/feature_set.h"
#include "lm/accelerator.h"
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
using test::words;

/// Pooled states by the plain definition: one evaluation of the whole sequence, mean over the last tokens.
std::vector<double> expected_feature(const Prompt& prompt, const std::string& response, Pooling pooling,
                                     PoolOver over) {
  const EncodedPrompt encoded = tiny().encode_prompt(prompt);
  std::vector<Token> tokens = encoded.tokens;
  const std::vector<Token> answer = tiny().encode_response(encoded, response);
  tokens.insert(tokens.end(), answer.begin(), answer.end());
  std::size_t first = over == PoolOver::All ? 0 : encoded.tokens.size();
  if (pooling == Pooling::Last) first = tokens.size() - 1;
  StateEvaluator evaluator(tiny(), {.longest_tokens = 256, .threads = 1, .skip_output = false});
  std::vector<double> sum(32);
  const TokenSequence sequence = tokens;
  evaluator.evaluate({&sequence, 1}, [&](std::size_t, std::size_t position, std::span<const float> state) {
    for (std::size_t j = 0; position >= first && j < 32; ++j) sum[j] += static_cast<double>(state[j]);
  });
  for (double& value : sum) value /= static_cast<double>(tokens.size() - first);
  return sum;
}

TEST(Extract, PoolsWhatItSays) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(5);
  for (const Pooling pooling : {Pooling::Mean, Pooling::Last}) {
    for (const PoolOver over : {PoolOver::Response, PoolOver::All}) {
      ExtractOptions how = options();
      how.features.pooling = pooling;
      how.features.over = over;
      how.replace = true;
      extract_pairs(tiny(), source_of(pairs), folder / "out", how);
      const FeatureSet set = load_features(folder / "out");
      ASSERT_EQ(set.rows(), pairs.size());
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        const auto chosen = expected_feature(pairs[i].prompt, pairs[i].chosen, pooling, over);
        const auto rejected = expected_feature(pairs[i].prompt, pairs[i].rejected, pooling, over);
        // Both routes round like float32 sums of 32 to 64 products over two layers; states are of order one.
        for (std::size_t j = 0; j < 32; ++j) {
          EXPECT_NEAR(set.chosen(i, j), chosen[j], 1e-4);
          EXPECT_NEAR(set.rejected(i, j), rejected[j], 1e-4);
        }
      }
    }
  }
}

/// Several layers and poolings from one pass are what one at a time gives, side by side: poolings, in each the layers.
TEST(Extract, PoolsSeveralLayersInOnePass) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(20);
  const auto extract = [&](const std::string& name, Pooling pooling, const std::vector<std::size_t>& layers) {
    ExtractOptions how = options();
    how.features.pooling = pooling;
    how.features.layers = layers;
    extract_pairs(tiny(), source_of(pairs), folder / name, how);
    return load_features(folder / name);
  };
  const FeatureSet all = extract("all", Pooling::MeanAndLast, {1, 0});
  ASSERT_EQ(all.dimension(), 128u);
  EXPECT_EQ(all.metadata_value("feature.layer"), "1,last");
  EXPECT_EQ(all.metadata_value("pooling"), "mean+last");
  const FeatureSet parts[] = {extract("a", Pooling::Mean, {1}), extract("b", Pooling::Mean, {0}),
                              extract("c", Pooling::Last, {1}), extract("d", Pooling::Last, {0})};
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (std::size_t j = 0; j < 128; ++j) ASSERT_EQ(all.rejected(i, j), parts[j / 32].rejected(i, j % 32));
  }
  EXPECT_EQ(layers_name(parse_layers("3,last,12")), "3,last,12");
  for (const char* text : {"", "0", "3,", "x", "3;4", "-1"}) {
    EXPECT_EQ(error_code_of([&] { parse_layers(text); }), ErrorCode::BadUsage) << text;
  }
}

TEST(Extract, SaysThatItRounded) {
  if (!has_accelerator()) GTEST_SKIP() << "the CPU has none of our kernels";
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(6);
  ExtractOptions how = options();
  extract_pairs(tiny(), source_of(pairs), folder / "exact", how);
  how.features.precision = Precision::BF16;
  extract_pairs(tiny(), source_of(pairs), folder / "rounded", how);
  const FeatureSet exact = load_features(folder / "exact");
  const FeatureSet rounded = load_features(folder / "rounded");
  EXPECT_EQ(exact.metadata_value("feature.precision"), "");
  EXPECT_EQ(rounded.metadata_value("feature.precision"), "bf16");
  EXPECT_NE(exact.metadata_value("fingerprint"), rounded.metadata_value("fingerprint"));
  double largest = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (std::size_t j = 0; j < 32; ++j) {
      largest = std::max(largest, std::abs(double{exact.chosen(i, j)} - double{rounded.chosen(i, j)}));
    }
  }
  EXPECT_GT(largest, 1e-5);  // states are of order one
  EXPECT_LT(largest, 0.1);
}

TEST(Extract, WritesTheColumnsAndSaysWhereTheyComeFrom) {
  const TemporaryFolder folder;
  auto pairs = sample_pairs(4);
  pairs[2].prompt = pairs[0].prompt;
  pairs[1].weight = 0.25;
  pairs[3].chosen = "über";
  ExtractOptions how = options();
  const ExtractTotals totals = extract_pairs(tiny(), source_of(pairs), folder / "out", how);
  const FeatureSet set = load_features(folder / "out");
  EXPECT_TRUE(set.bound());
  EXPECT_EQ(set.metadata_value("coala.format"), "features-1");
  EXPECT_EQ(set.metadata_value("backbone.hash"), tiny().identity().hash);
  EXPECT_EQ(set.metadata_value("template"), "model");
  EXPECT_EQ(set.metadata_value("bos"), "added");
  EXPECT_EQ(set.metadata_value("max_length"), "256");
  EXPECT_EQ(set.metadata_value("data.name"), "sample");
  EXPECT_EQ(set.metadata_value("extract.unique_tokens"), std::to_string(totals.counts.unique_tokens));
  EXPECT_TRUE(set.has_prompt_id);
  EXPECT_EQ(set.prompt_id[0], set.prompt_id[2]);
  EXPECT_NE(set.prompt_id[0], set.prompt_id[1]);
  EXPECT_EQ(set.length_chosen[3], 4);
  EXPECT_EQ(set.weight, (std::vector<float>{1, 0.25f, 1, 1}));
  EXPECT_TRUE(set.margin.empty());
  EXPECT_EQ(totals.counts.records, 4u);
  EXPECT_EQ(totals.counts.responses, 8u);
  EXPECT_LT(totals.counts.unique_tokens, totals.counts.tokens);
  EXPECT_GT(totals.flops, 2.0 * 18528 * static_cast<double>(totals.counts.unique_tokens));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "something was left behind";
}

TEST(Extract, LabelledResponses) {
  const TemporaryFolder folder;
  int next = 0;
  const LabelledSource source = [&next](Labelled& row) {
    row = Labelled{{std::to_string(next), "", ""}, {}, "the hen ran", next % 2 == 0 ? 1 : -1};
    return next++ < 3;
  };
  const ExtractTotals totals = extract_labelled(tiny(), source, folder / "out", options());
  const FeatureSet set = load_features(folder / "out");
  EXPECT_EQ(set.kind, FeatureKind::Labelled);
  EXPECT_EQ(set.labels, (std::vector<std::int8_t>{1, -1, 1}));
  EXPECT_EQ(set.length, (std::vector<std::int32_t>{11, 11, 11}));
  const auto expected = expected_feature({}, "the hen ran", Pooling::Mean, PoolOver::Response);
  for (std::size_t j = 0; j < 32; ++j) EXPECT_NEAR(set.features(2, j), expected[j], 1e-4);
  // Three times the same text: evaluated once.
  EXPECT_EQ(totals.counts.tokens, 3 * totals.counts.unique_tokens);
  EXPECT_EQ(totals.evaluated_tokens, totals.counts.unique_tokens);
}

TEST(Extract, StoresHalfPrecisionRounded) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(3);
  extract_pairs(tiny(), source_of(pairs), folder / "f32", options());
  const FeatureSet full = load_features(folder / "f32");
  for (const auto& [dtype, unit] : {std::pair(Dtype::F16, 0x1p-11), std::pair(Dtype::BF16, 0x1p-8)}) {
    ExtractOptions how = options();
    how.dtype = dtype;
    const auto path = folder / std::string(dtype_name(dtype));
    extract_pairs(tiny(), source_of(pairs), path, how);
    EXPECT_EQ(SafetensorsFile(path).tensor("chosen").dtype, dtype);
    const FeatureSet half = load_features(path);
    const Matrix<float> exact_rows = full.chosen.matrix();
    const Matrix<float> half_rows = half.chosen.matrix();
    for (std::size_t k = 0; k < exact_rows.values().size(); ++k) {
      const double exact = exact_rows.values()[k];
      // Half a unit in the last place, and 2^-25 where F16 has only subnormal numbers.
      EXPECT_NEAR(half_rows.values()[k], exact, unit * std::abs(exact) + 0x1p-25);
    }
  }
  ExtractOptions how = options();
  how.dtype = Dtype::I32;
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "i32", how); }), ErrorCode::BadUsage);
}

TEST(Extract, DoesNotDependOnNeighbours) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(12);
  auto reversed = pairs;
  std::reverse(reversed.begin(), reversed.end());
  extract_pairs(tiny(), source_of(pairs), folder / "a", options());
  extract_pairs(tiny(), source_of(reversed), folder / "b", options());
  const FeatureSet a = load_features(folder / "a");
  const FeatureSet b = load_features(folder / "b");
  for (std::size_t i = 0; i < 12; ++i) {
    for (std::size_t j = 0; j < 32; ++j) EXPECT_NEAR(a.chosen(i, j), b.chosen(11 - i, j), 1e-5);
  }
}

TEST(Extract, KeepsThePromptsEndAndTheResponsesBeginning) {
  // prompt, fixed, response, limit: what is kept of each
  const auto kept = [](std::size_t prompt, std::size_t fixed, std::size_t response, std::size_t limit) {
    const Truncation fit = fit_tokens(prompt, fixed, response, limit);
    return std::pair(fit.prompt_tokens, std::min(response, fit.response_tokens));
  };
  EXPECT_EQ(kept(10, 1, 20, 40), std::pair(std::size_t{10}, std::size_t{20}));
  EXPECT_EQ(kept(20, 1, 20, 40), std::pair(std::size_t{20}, std::size_t{20}));
  EXPECT_EQ(kept(30, 1, 20, 40), std::pair(std::size_t{20}, std::size_t{20}));
  EXPECT_EQ(kept(30, 1, 35, 40), std::pair(std::size_t{10}, std::size_t{30}));
  EXPECT_EQ(kept(5, 1, 100, 40), std::pair(std::size_t{5}, std::size_t{35}));
  EXPECT_EQ(kept(0, 0, 100, 40), std::pair(std::size_t{0}, std::size_t{40}));
  EXPECT_EQ(kept(1, 1, 100, 40), std::pair(std::size_t{1}, std::size_t{39}));
}

TEST(Extract, CountsWhatItCuts) {
  const TemporaryFolder folder;
  std::vector<Pair> pairs(1);
  pairs[0].id = "1";
  pairs[0].prompt.text = std::string(60, 'x') + std::string(40, 'z');  // a token each, after BOS and a space
  pairs[0].chosen = std::string(30, 'q') + std::string(30, 'j');
  pairs[0].rejected = std::string(10, 'q');
  ExtractOptions how = options();
  how.features.max_length_tokens = 64;
  const FeatureCounts counts = extract_pairs(tiny(), source_of(pairs), folder / "out", how).counts;
  const std::size_t prompt = tiny().encode_prompt(pairs[0].prompt).tokens.size();
  EXPECT_EQ(prompt, 102u);
  EXPECT_EQ(counts.truncated_prompts, 1u);
  EXPECT_EQ(counts.dropped_prompt_tokens, prompt - 16);
  EXPECT_EQ(counts.truncated_responses, 1u);
  EXPECT_EQ(counts.dropped_response_tokens, 60u - 48u);
  EXPECT_EQ(counts.tokens, 64u + 26u);
  EXPECT_EQ(counts.unique_tokens, 16u + 48u);  // the rejected response is how the chosen one begins
  EXPECT_EQ(SafetensorsFile(folder / "out").metadata().at("extract.dropped_response_tokens"), "12");
  // What is evaluated: the BOS token, the last 15 tokens of the prompt, the first 48 of the response.
  const EncodedPrompt encoded = tiny().encode_prompt(pairs[0].prompt);
  std::vector<Token> tokens{encoded.tokens.front()};
  tokens.insert(tokens.end(), encoded.tokens.end() - 15, encoded.tokens.end());
  const std::vector<Token> answer = tiny().encode_response(encoded, pairs[0].chosen);
  tokens.insert(tokens.end(), answer.begin(), answer.begin() + 48);
  std::vector<double> mean(32);
  StateEvaluator evaluator(tiny(), {.longest_tokens = 64, .threads = 1});
  const TokenSequence sequence = tokens;
  evaluator.evaluate({&sequence, 1}, [&](std::size_t, std::size_t position, std::span<const float> state) {
    for (std::size_t j = 0; position >= 16 && j < 32; ++j) mean[j] += static_cast<double>(state[j]) / 48;
  });
  const FeatureSet set = load_features(folder / "out");
  for (std::size_t j = 0; j < 32; ++j) EXPECT_NEAR(set.chosen(0, j), mean[j], 1e-4);
}

TEST(Extract, NamesTheRecordWithoutATokenInItsResponse) {
  const TemporaryFolder folder;
  auto pairs = sample_pairs(3);
  pairs[1].id = "line 17";
  pairs[1].rejected = "";
  try {
    extract_pairs(tiny(), source_of(pairs), folder / "out", options());
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadInput);
    EXPECT_NE(std::string(error.what()).find("line 17"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of({}), folder / "none", options()); }),
            ErrorCode::BadInput);
}

TEST(Extract, GivesTheSameBytesOnAnyNumberOfThreads) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(75);  // more than one batch, and not a multiple of one
  for (const int threads : {1, 3}) {
    ExtractOptions how = options();
    how.threads = threads;
    how.records_expected = 75;
    std::uint64_t last = 0;
    std::uint64_t most_at_once = 0;
    how.on_progress = [&](const ExtractProgress& progress) {
      EXPECT_GE(progress.tokens, last);
      EXPECT_LE(progress.tokens, progress.expected);
      most_at_once = std::max(most_at_once, progress.tokens - last);
      last = progress.tokens;
    };
    const ExtractTotals totals = extract_pairs(tiny(), source_of(pairs), folder / std::to_string(threads), how);
    EXPECT_EQ(last, totals.evaluated_tokens);
    // Told of as the model evaluates, not when a block is done: with a large model a block takes minutes.
    EXPECT_LE(most_at_once, choose_batch_rows(tiny().identity()));
  }
  EXPECT_TRUE(read_file(folder / "1") == read_file(folder / "3"));
}

TEST(Extract, NamesTheFirstOfSeveralBadRecords) {
  const TemporaryFolder folder;
  auto pairs = sample_pairs(40);
  for (const std::size_t i : {7u, 8u, 30u}) pairs[i].chosen = "";
  ExtractOptions how = options();
  how.threads = 3;
  try {
    extract_pairs(tiny(), source_of(pairs), folder / "out", how);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("record '8'"), std::string::npos) << error.what();
  }
}

TEST(Extract, RefusesALengthTheModelDoesNotHave) {
  const TemporaryFolder folder;
  for (const std::size_t length : {1u, 257u}) {
    ExtractOptions how = options();
    how.features.max_length_tokens = length;
    EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(sample_pairs(1)), folder / "out", how); }),
              ErrorCode::BadUsage);
  }
}

std::string uninterrupted(const std::vector<Pair>& pairs) {
  const TemporaryFolder folder;
  extract_pairs(tiny(), source_of(pairs), folder / "out", options());
  return read_file(folder / "out");
}

/// Enough tokens for a dozen blocks.
std::vector<Pair> many_pairs() {
  return sample_pairs(900);
}

TEST(Extract, GivesTheSameBytesAfterAnException) {
  const TemporaryFolder folder;
  const auto pairs = many_pairs();
  ExtractOptions how = options();
  for (const std::uint64_t stop : {1u, 5000u, 9000u}) {
    how.on_progress = [stop](const ExtractProgress& progress) {
      if (progress.tokens >= stop) throw Error(ErrorCode::Interrupted, "stopped");
    };
    EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "out", how); }),
              ErrorCode::Interrupted);
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  }
  how.on_progress = nullptr;
  const ExtractTotals totals = extract_pairs(tiny(), source_of(pairs), folder / "out", how);
  // The block that was stopped on its way is lost, and is at most so long.
  EXPECT_GE(totals.resumed_tokens, 9000u - 2100u);
  EXPECT_GT(totals.evaluated_tokens, 0u);
  EXPECT_EQ(totals.counts.records, pairs.size());
  EXPECT_TRUE(read_file(folder / "out") == uninterrupted(pairs));
}

TEST(Extract, GivesTheSameBytesAfterAKill) {
  const TemporaryFolder folder;
  const auto pairs = many_pairs();
  ExtractOptions how = options();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    how.on_progress = [](const ExtractProgress& progress) {
      if (progress.tokens >= 9000) ::kill(::getpid(), SIGKILL);
    };
    extract_pairs(tiny(), source_of(pairs), folder / "out", how);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  // Damage on top: a number in the first block, and an end that is missing.
  const auto log = folder / "out.parts" / "blocks";
  std::string bytes = read_file(log);
  bytes[bytes.size() / 8] = static_cast<char>(bytes[bytes.size() / 8] ^ 4);
  write_file(log, bytes.substr(0, bytes.size() - 100));
  const ExtractTotals totals = extract_pairs(tiny(), source_of(pairs), folder / "out", how);
  EXPECT_GT(totals.resumed_tokens, 3000u);
  EXPECT_LT(totals.resumed_tokens, 8000u);
  EXPECT_TRUE(read_file(folder / "out") == uninterrupted(pairs));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "something was left behind";
}

TEST(Extract, RefusesWorkOnSomethingElse) {
  const TemporaryFolder folder;
  const auto pairs = many_pairs();
  ExtractOptions how = options();
  how.features.pooling = Pooling::Last;
  how.on_progress = [](const ExtractProgress&) { throw Error(ErrorCode::Interrupted, "stopped"); };
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "out", how); }),
            ErrorCode::Interrupted);
  try {
    extract_pairs(tiny(), source_of(pairs), folder / "out", options());
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Mismatch);
    EXPECT_NE(std::string(error.what()).find("pooling (last instead of mean)"), std::string::npos) << error.what();
  }
  how = options();
  how.replace = true;
  extract_pairs(tiny(), source_of(pairs), folder / "out", how);
  EXPECT_TRUE(read_file(folder / "out") == uninterrupted(pairs));
}

TEST(Extract, AFlippedBitInTheFinishedFileIsAnError) {
  const TemporaryFolder folder;
  extract_pairs(tiny(), source_of(sample_pairs(20)), folder / "out", options());
  const std::string whole = read_file(folder / "out");
  const SafetensorsFile file(folder / "out");
  Random random(2);
  for (int trial = 0; trial < 50; ++trial) {
    std::string damaged = whole;
    const auto& view = file.tensor(trial % 2 == 0 ? "chosen" : "length_rejected");
    const std::size_t begin = whole.size() - [&] {
      std::size_t all = 0;
      for (const auto& [name, tensor] : file.tensors()) all += tensor.bytes.size();
      return all;
    }();
    const auto offset = static_cast<std::size_t>(view.bytes.data() - file.tensor("prompt_id").bytes.data());
    const std::size_t at = begin + offset + random.below(view.bytes.size());
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.below(8)));
    write_file(folder / "damaged", damaged);
    EXPECT_EQ(error_code_of([&] { load_features(folder / "damaged"); }), ErrorCode::CorruptFile);
  }
}

/// The disk fills up at some moment (here: files may not grow beyond a size): a message, and nothing is lost.
TEST(Extract, GoesOnAfterTheDiskWasFull) {
  const auto pairs = many_pairs();
  const std::string expected = uninterrupted(pairs);
  for (const rlim_t limit : {rlim_t{100}, rlim_t{3000}, rlim_t{40000}, static_cast<rlim_t>(expected.size() - 1000)}) {
    const TemporaryFolder folder;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limits{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &limits);
      int status = 0;
      try {
        extract_pairs(tiny(), source_of(pairs), folder / "out", options());
      } catch (const Error& error) {
        status = error.code() == ErrorCode::Io && std::string(error.what()).find("cannot write") != std::string::npos;
      }
      ::_exit(status);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << "limit " << limit;
    EXPECT_FALSE(std::filesystem::exists(folder / "out"));
    extract_pairs(tiny(), source_of(pairs), folder / "out", options());
    EXPECT_TRUE(read_file(folder / "out") == expected) << "limit " << limit;
  }
}

TEST(Extract, SaysWhenTheFolderCannotBeWritten) {
  const TemporaryFolder folder;
  write_file(folder / "file", "no folder");
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(sample_pairs(2)), folder / "file/out", options()); }),
            ErrorCode::Io);
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(sample_pairs(2)), folder / "none/out", options()); }),
            ErrorCode::Io);
}

TEST(Extract, ShardsGiveTheSameBytes) {
  const auto pairs = many_pairs();
  const std::string expected = uninterrupted(pairs);
  for (const std::uint32_t count : {2u, 3u, 40u}) {  // more shards than blocks, too
    const TemporaryFolder folder;
    std::uint64_t evaluated = 0;
    for (std::uint32_t s = count; s-- > 0;) {
      ExtractOptions how = options();
      how.shard = {s, count};
      const ExtractTotals totals = extract_pairs(tiny(), source_of(pairs), folder / "out", how);
      evaluated += totals.evaluated_tokens;
      EXPECT_EQ(totals.unfinished_shards.size(), s);
    }
    const ExtractTotals merged = extract_pairs(tiny(), source_of(pairs), folder / "out", options());
    EXPECT_EQ(merged.evaluated_tokens, 0u);
    EXPECT_EQ(merged.resumed_tokens, evaluated);
    EXPECT_TRUE(read_file(folder / "out") == expected);
    EXPECT_EQ(evaluated, merged.counts.evaluated_tokens);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "something was left behind";
  }
}

TEST(Extract, TakesOverWhatShardsHaveDone) {
  const TemporaryFolder folder;
  const auto pairs = many_pairs();
  ExtractOptions how = options();
  how.shard = {1, 3};
  const ExtractTotals shard = extract_pairs(tiny(), source_of(pairs), folder / "out", how);
  EXPECT_EQ(shard.unfinished_shards, (std::vector<std::uint32_t>{0, 2}));
  const ExtractTotals rest = extract_pairs(tiny(), source_of(pairs), folder / "out", options());
  EXPECT_EQ(rest.resumed_tokens, shard.evaluated_tokens);
  EXPECT_TRUE(read_file(folder / "out") == uninterrupted(pairs));
}

TEST(Extract, LeavesAFinishedFileAndRefusesAnother) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(3);
  EXPECT_FALSE(extract_pairs(tiny(), source_of(pairs), folder / "out", options()).up_to_date);
  const std::string bytes = read_file(folder / "out");
  const ExtractTotals again = extract_pairs(tiny(), source_of(pairs), folder / "out", options());
  EXPECT_TRUE(again.up_to_date);
  EXPECT_EQ(again.counts.records, 3u);

  ExtractOptions other = options();
  other.features.pooling = Pooling::Last;
  other.data.hash = "another";
  try {
    extract_pairs(tiny(), source_of(pairs), folder / "out", other);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::Mismatch);
    const std::string message = error.what();
    EXPECT_NE(message.find("pooling (mean instead of last)"), std::string::npos) << message;
    EXPECT_NE(message.find("data"), std::string::npos) << message;
    EXPECT_EQ(message.find("tokenizer"), std::string::npos) << message;
  }
  EXPECT_TRUE(read_file(folder / "out") == bytes);
  other.replace = true;
  EXPECT_FALSE(extract_pairs(tiny(), source_of(pairs), folder / "out", other).up_to_date);
  EXPECT_EQ(load_features(folder / "out").metadata_value("pooling"), "last");

  write_file(folder / "notes", "somebody's notes, not to be overwritten");
  EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(pairs), folder / "notes", options()); }),
            ErrorCode::Mismatch);
}

TEST(ExtractFile, GivesTheSameNumbersInMemory) {
  const TemporaryFolder folder;
  write_file(folder / "pairs.jsonl",
             "{\"prompt\": \"the hen\", \"chosen\": \"ran and ran\", \"rejected\": \"sand\", \"margin\": 2}\n"
             "{\"prompt\": \"the inn\", \"chosen\": \"in the sand\", \"rejected\": \"a\"}\n");
  ExtractOptions how;
  how.threads = 1;
  std::vector<std::uint64_t> progress;
  how.on_progress = [&progress](const ExtractProgress& now) {
    if (now.tokens > 0) progress.push_back(now.tokens);
  };
  const RecordStore data({{folder / "pairs.jsonl"}, {}}, folder.path());
  const FileExtraction stored = extract_file(tiny(), data, folder / "out", how);
  const MemoryExtraction kept = extract_to_memory(tiny(), data, how);
  const FeatureSet set = load_features(folder / "out");
  EXPECT_EQ(stored.kind, FeatureKind::Pairs);
  EXPECT_EQ(progress, std::vector<std::uint64_t>(2, stored.totals.evaluated_tokens));
  EXPECT_EQ(kept.ids.size(), 2u);
  EXPECT_TRUE(std::ranges::equal(set.chosen.matrix().values(), kept.features.chosen.matrix().values()));
  EXPECT_TRUE(std::ranges::equal(set.rejected.matrix().values(), kept.features.rejected.matrix().values()));
  EXPECT_EQ(set.prompt_id, kept.features.prompt_id);
  EXPECT_EQ(set.length_chosen, kept.features.length_chosen);
  EXPECT_EQ(set.weight, kept.features.weight);
  EXPECT_EQ(set.margin, kept.features.margin);
  EXPECT_EQ(set.metadata, kept.features.metadata);
  // The way in which a file is read is part of the data's identity.
  ReaderOptions swapped;
  swapped.columns.renamed = {{"chosen", "rejected"}, {"rejected", "chosen"}};
  const RecordStore other({{folder / "pairs.jsonl"}, swapped}, folder.path());
  EXPECT_EQ(error_code_of([&] { extract_file(tiny(), other, folder / "out", how); }), ErrorCode::Mismatch);
}

TEST(Extract, LetsOneWriterIn) {
  const TemporaryFolder folder;
  {
    const OutputLock held(folder / "out");
    EXPECT_EQ(error_code_of([&] { extract_pairs(tiny(), source_of(sample_pairs(1)), folder / "out", options()); }),
              ErrorCode::BadUsage);
  }
  extract_pairs(tiny(), source_of(sample_pairs(1)), folder / "out", options());
  EXPECT_EQ(error_code_of([&] {
              extract_pairs(tiny(), source_of(sample_pairs(1)), folder / "no such folder" / "out", options());
            }),
            ErrorCode::Io);
}

}  // namespace
}  // namespace coala
