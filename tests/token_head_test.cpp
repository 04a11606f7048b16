#include "head/token_head.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <fstream>
#include <map>
#include <numeric>

#include "core/atomic_file.h"
#include "core/progress.h"
#include "core/random.h"
#include "decode/export_loss.h"
#include "decode/token_export.h"
#include "decode/token_tilt.h"
#include "extract/extract_file.h"
#include "extract/token_basis_fit.h"
#include "extract/token_setup.h"
#include "head/head.h"
#include "linalg/factorisation.h"
#include "lm/session.h"
#include "support.h"
#include "tiny_pairs.h"
#include "tiny_variants.h"

namespace coala {
namespace {

using test::error_code_of;
using test::sample_pairs;
using test::TemporaryFolder;
using test::tiny;

constexpr std::size_t kRank = 6;

/// A prompt and a response, evaluated token by token in a session: the plain definition of everything below.
struct Evaluated {
  std::vector<Token> tokens;                 ///< with the one that ends the response
  std::vector<std::vector<double>> states;   ///< before the token at the same place; the first has none
  std::vector<std::vector<double>> chances;  ///< of all tokens, under the model
  std::size_t prompt_tokens = 0;
};

Evaluated evaluate(const Pair& pair, const std::string& response) {
  Evaluated result;
  const EncodedPrompt prompt = tiny().encode_prompt(pair.prompt);
  result.tokens = prompt.tokens;
  result.prompt_tokens = prompt.tokens.size();
  for (const Token token : tiny().encode_response(prompt, response)) result.tokens.push_back(token);
  result.tokens.push_back(tiny().tokenizer().end());
  Session session(tiny(), {1, 256, 1});
  Session::Output output = session.start(0, {result.tokens.data(), 1});
  result.states.resize(1);
  result.chances.resize(1);
  for (std::size_t i = 1; i < result.tokens.size(); ++i) {
    result.states.emplace_back(output.state.begin(), output.state.end());
    std::vector<double> chances;
    double sum = 0;
    for (const float logit : output.logits) sum += chances.emplace_back(std::exp(static_cast<double>(logit)));
    for (double& chance : chances) chance /= sum;
    result.chances.push_back(std::move(chances));
    const Session::Row row{0, result.tokens[i]};
    if (i + 1 < result.tokens.size()) output = session.step({&row, 1}).front();
  }
  return result;
}

std::vector<double> output_row(const OutputMatrix& output, std::size_t token) {
  std::vector<float> row(output.dimension());
  output.read(token, row);
  return {row.begin(), row.end()};
}

double product(std::span<const float> a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t j = 0; j < b.size(); ++j) sum += static_cast<double>(a[j]) * b[j];
  return sum;
}

/// The sums of TokenSums by their definition, in double.
std::vector<double> expected_sums(const Evaluated& text, const OutputMatrix& output, const TokenBasis& basis) {
  const std::size_t r = basis.rank();
  std::vector<std::vector<double>> coordinates;  // of every token
  for (std::size_t c = 0; c < output.vocabulary(); ++c) {
    const std::vector<double> row = output_row(output, c);
    coordinates.emplace_back();
    for (std::size_t b = 0; b < r; ++b) coordinates.back().push_back(product(basis.embeddings.row(b), row));
  }
  std::vector<double> sums(basis.width());
  for (std::size_t i = text.prompt_tokens; i < text.tokens.size(); ++i) {
    for (std::size_t b = 0; b < r; ++b) {
      double residual = coordinates[static_cast<std::size_t>(text.tokens[i])][b];
      for (std::size_t c = 0; c < output.vocabulary(); ++c) residual -= text.chances[i][c] * coordinates[c][b];
      for (std::size_t a = 0; a < r; ++a) sums[a * r + b] += product(basis.states.row(a), text.states[i]) * residual;
      sums[r * r + b] += residual;
    }
  }
  return sums;
}

void write_pairs(const std::vector<Pair>& pairs, const std::filesystem::path& path) {
  std::ofstream file(path);
  for (const Pair& pair : pairs) {
    file << R"({"id": ")" << pair.id << R"(", "prompt": [{"role": "user", "content": ")"
         << pair.prompt.messages[0].content << R"("}], "chosen": ")" << pair.chosen << R"(", "rejected": ")"
         << pair.rejected << "\"}\n";
  }
}

ExtractOptions with_tokens(int threads = 1) {
  ExtractOptions options;
  options.threads = threads;
  options.token_rank = kRank;
  return options;
}

TokenHead random_head(std::size_t dimension) {
  Random random(3);
  const auto matrix = [&random](std::size_t rows, std::size_t cols) {
    Matrix<float> result(rows, cols);
    for (float& value : result.values()) value = static_cast<float>(random.normal() / std::sqrt(cols));
    return result;
  };
  TokenHead head{matrix(kRank, dimension), matrix(kRank, kRank), matrix(kRank, dimension), {}};
  for (std::size_t b = 0; b < kRank; ++b) head.bias.push_back(static_cast<float>(random.normal()));
  return head;
}

TEST(OutputMatrix, ExpectationsAreThoseOfTheModelsProbabilities) {
  const OutputMatrix output(tiny());
  EXPECT_EQ(output.scale(), 1.0f);
  EXPECT_FALSE(output.tied());
  const Evaluated text = evaluate(sample_pairs(1)[0], "a tree and the inn");
  const std::size_t n = text.states.size() - 1;
  Matrix<float> states(n, output.dimension());
  for (std::size_t i = 0; i < n; ++i) std::ranges::copy(text.states[i + 1], states.row(i).begin());
  NextTokenMean mean(output);
  std::vector<double> chances(output.vocabulary());
  mean.add_probabilities(states.view(), chances);
  Matrix<float> directions(output.dimension(), output.dimension());
  for (std::size_t j = 0; j < output.dimension(); ++j) directions(j, j) = 1;
  Matrix<float> by_table(n, output.dimension());
  mean.evaluate(states.view(), output.table(directions), by_table.view());
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> expected(output.dimension());
    for (std::size_t c = 0; c < output.vocabulary(); ++c) {
      const std::vector<double> row = output_row(output, c);
      for (std::size_t j = 0; j < row.size(); ++j) expected[j] += text.chances[i + 1][c] * row[j];
    }
    // 298 products of order one, each rounded to 2^-24; exponentials are good to 2e-7.
    for (std::size_t j = 0; j < expected.size(); ++j) EXPECT_NEAR(by_table(i, j), expected[j], 2e-6);
  }
  for (std::size_t c = 0; c < chances.size(); ++c) {
    double expected = 0;
    for (std::size_t i = 0; i < n; ++i) expected += text.chances[i + 1][c];
    EXPECT_NEAR(chances[c], expected, 2e-6 * static_cast<double>(n));
  }
}

/// The sums of responses when a share of their tokens is looked at, [responses, width].
Matrix<float> sums_of(const std::vector<Pair>& pairs, const TokenBasis& basis, double share) {
  const auto output = std::make_shared<const OutputMatrix>(tiny());
  const auto projection = std::make_shared<const TokenProjection>(output, basis, share);
  FeatureExtractor extractor(tiny(), {}, 1, projection);
  FeatureCounts counts;
  std::vector<EncodedResponse> responses;
  std::vector<const EncodedResponse*> pointers;
  for (const Pair& pair : pairs) {
    const std::array<std::string_view, 2> both{pair.chosen, pair.rejected};
    for (EncodedResponse& response : extractor.encode(pair.prompt, both, counts))
      responses.push_back(std::move(response));
  }
  for (const EncodedResponse& response : responses) pointers.push_back(&response);
  const Matrix<float> features = extractor.pool(pointers);
  Matrix<float> sums(features.rows(), basis.width());
  for (std::size_t i = 0; i < features.rows(); ++i) {
    std::ranges::copy(features.row(i).subspan(extractor.pooled_dimension()), sums.row(i).begin());
  }
  return sums;
}

TokenBasis random_basis(std::size_t dimension) {
  const TokenHead head = random_head(dimension);
  return {head.states, head.embeddings, Matrix<float>(1, kRank), Matrix<float>(1, kRank)};
}

TEST(TokenSums, AreWhatTheirDefinitionSays) {
  const std::vector<Pair> pairs = sample_pairs(12);
  const OutputMatrix output(tiny());
  const TokenBasis basis = random_basis(output.dimension());
  const Matrix<float> sums = sums_of(pairs, basis, 1);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    for (const std::size_t side : {0u, 1u}) {
      const Evaluated text = evaluate(pairs[i], side == 0 ? pairs[i].chosen : pairs[i].rejected);
      const std::vector<double> expected = expected_sums(text, output, basis);
      // Sums of some 20 products of states and residuals of order one, the states good to 1e-5 each.
      for (std::size_t j = 0; j < expected.size(); ++j) EXPECT_NEAR(sums(2 * i + side, j), expected[j], 1e-3);
    }
  }
}

/// Where only some tokens are looked at, the sums are the same on average: over 600 responses the mean differs by what
/// the sampling explains.
TEST(TokenSums, OfAShareOfTheTokensAreRightOnAverage) {
  const std::vector<Pair> pairs = sample_pairs(300);
  const TokenBasis basis = random_basis(tiny().identity().dimension);
  const Matrix<float> all = sums_of(pairs, basis, 1);
  const Matrix<float> half = sums_of(pairs, basis, 0.5);
  std::size_t outside = 0;
  for (std::size_t j = 0; j < basis.width(); ++j) {
    double difference = 0;
    double squares = 0;
    for (std::size_t i = 0; i < all.rows(); ++i) {
      const double one = static_cast<double>(half(i, j)) - static_cast<double>(all(i, j));
      difference += one;
      squares += one * one;
    }
    EXPECT_GT(squares, 0);
    outside += std::abs(difference) > 2.6 * std::sqrt(squares) ? 1 : 0;  // 1 % of fair columns
  }
  EXPECT_LE(outside, 4u) << "of " << basis.width();
}

TEST(TokenSums, AreTheSameBytesWithThreadsAndShardsAndAgain) {
  const TemporaryFolder folder;
  write_pairs(sample_pairs(150), folder / "pairs.jsonl");
  const RecordStore data({{folder / "pairs.jsonl"}, {}}, folder.path());
  extract_file(tiny(), data, folder / "one", with_tokens(1));
  extract_file(tiny(), data, folder / "two", with_tokens(2));
  for (std::uint32_t shard = 0; shard < 3; ++shard) {
    ExtractOptions options = with_tokens(1);
    options.shard = {shard, 3};
    extract_file(tiny(), data, folder / "shards", options);
  }
  const std::string bytes = read_file(folder / "one");
  EXPECT_EQ(read_file(folder / "two"), bytes);
  EXPECT_EQ(read_file(folder / "shards"), bytes);
  EXPECT_TRUE(extract_file(tiny(), data, folder / "one", with_tokens(1)).totals.up_to_date);
  ExtractOptions other_rank = with_tokens(1);
  other_rank.token_rank = kRank + 1;
  EXPECT_EQ(error_code_of([&] { extract_file(tiny(), data, folder / "one", other_rank); }), ErrorCode::Mismatch);
}

TEST(TokenSums, BasisIsOrthonormalAndDescribesItsSample) {
  const TemporaryFolder folder;
  write_pairs(sample_pairs(40), folder / "pairs.jsonl");
  extract_file(tiny(), RecordStore({{folder / "pairs.jsonl"}, {}}, folder.path()), folder / "out", with_tokens());
  const FeatureSet set = load_features(folder / "out");
  const TokenBasis& basis = *set.token_basis;
  for (const Matrix<float>* directions : {&basis.states, &basis.embeddings}) {
    for (std::size_t a = 0; a < kRank; ++a) {
      for (std::size_t b = 0; b < kRank; ++b) {
        const std::vector<double> other(directions->row(b).begin(), directions->row(b).end());
        EXPECT_NEAR(product(directions->row(a), other), a == b ? 1 : 0, 1e-5);
      }
    }
  }
  ASSERT_GT(basis.sample_states.rows(), 50u);
  // Leading directions come first: the mean square of the coordinates falls.
  double before = INFINITY;
  for (std::size_t a = 0; a < kRank; ++a) {
    double squares = 0;
    for (std::size_t i = 0; i < basis.sample_states.rows(); ++i) squares += std::pow(basis.sample_states(i, a), 2);
    EXPECT_LT(squares, before * 1.05);
    before = squares;
  }
}

/// Second moments of the residuals e_y - E[e_c | h] over the tokens of all responses, by their definition; a token's
/// candidates are the whole vocabulary.
Matrix<double> residual_moments(const std::vector<Pair>& pairs, const OutputMatrix& output, bool of_states) {
  const std::size_t d = output.dimension();
  Matrix<double> moments(d, d);
  for (const Pair& pair : pairs) {
    for (const std::string& response : {pair.chosen, pair.rejected}) {
      const Evaluated text = evaluate(pair, response);
      for (std::size_t i = text.prompt_tokens; i + 1 < text.tokens.size(); ++i) {  // without the one that ends it
        std::vector<double> row = text.states[i];
        if (!of_states) {
          row = output_row(output, static_cast<std::size_t>(text.tokens[i]));
          for (std::size_t c = 0; c < output.vocabulary(); ++c) {
            const std::vector<double> other = output_row(output, c);
            for (std::size_t j = 0; j < d; ++j) row[j] -= text.chances[i][c] * other[j];
          }
        }
        for (std::size_t a = 0; a < d; ++a) {
          for (std::size_t b = 0; b < d; ++b) moments(a, b) += row[a] * row[b];
        }
      }
    }
  }
  return moments;
}

/// Share of the trace of a symmetric matrix that is in the span of orthonormal directions.
double captured(const Matrix<double>& moments, const Matrix<float>& directions) {
  const std::size_t d = moments.rows();
  double inside = 0;
  double trace = 0;
  for (std::size_t a = 0; a < d; ++a) trace += moments(a, a);
  for (std::size_t k = 0; k < directions.rows(); ++k) {
    for (std::size_t a = 0; a < d; ++a) {
      for (std::size_t b = 0; b < d; ++b) {
        inside += static_cast<double>(directions(k, a)) * moments(a, b) * static_cast<double>(directions(k, b));
      }
    }
  }
  return inside / trace;
}

/// The whole data are the sample and the whole vocabulary are candidates: the basis is that of the definition.
TEST(TokenBasis, OfSmallDataIsTheExactOne) {
  const TemporaryFolder folder;
  const auto pairs = sample_pairs(12);
  write_pairs(pairs, folder / "pairs.jsonl");
  extract_file(tiny(), RecordStore({{folder / "pairs.jsonl"}, {}}, folder.path()), folder / "out", with_tokens());
  const FeatureSet set = load_features(folder / "out");
  const OutputMatrix output(tiny());
  ASSERT_LE(output.vocabulary(), 1024u) << "fewer candidates are never taken";
  for (const bool of_states : {true, false}) {
    const Matrix<double> moments = residual_moments(pairs, output, of_states);
    const SymmetricEigen eigen = symmetric_eigen(moments);
    const double trace = std::accumulate(eigen.values.begin(), eigen.values.end(), 0.0);
    const double most = std::accumulate(eigen.values.end() - kRank, eigen.values.end(), 0.0) / trace;
    const double found = captured(moments, of_states ? set.token_basis->states : set.token_basis->embeddings);
    // To the first order an error of the directions costs nothing; sums and states are of single precision.
    EXPECT_NEAR(found, most, 1e-4 * most) << of_states;
  }
}

/// Few candidates still give directions that explain nearly as much.
TEST(TokenBasis, OfFewCandidatesIsNearlyAsGood) {
  const auto pairs = sample_pairs(40);
  const OutputMatrix output(tiny());
  std::vector<std::pair<std::vector<float>, Token>> followed;
  for (const Pair& pair : pairs) {
    const Evaluated text = evaluate(pair, pair.chosen);
    for (std::size_t i = text.prompt_tokens; i + 1 < text.tokens.size(); ++i) {
      followed.emplace_back(std::vector<float>(text.states[i].begin(), text.states[i].end()), text.tokens[i]);
    }
  }
  const BasisTokens tokens{followed.size(), [&](const FollowedState& take) {
                             for (const auto& [state, next] : followed) take(state, next);
                           }};
  const TokenBasis exact =
      fit_token_basis(output, tokens, {followed.size(), output.vocabulary(), followed.size()}, kRank, 1);
  const TokenBasis few = fit_token_basis(output, tokens, {16, output.vocabulary() / 4, followed.size()}, kRank, 3);
  const TokenBasis again = fit_token_basis(output, tokens, {16, output.vocabulary() / 4, followed.size()}, kRank, 1);
  EXPECT_TRUE(std::ranges::equal(few.embeddings.values(), again.embeddings.values())) << "of any number of threads";
  EXPECT_TRUE(std::ranges::equal(few.states.values(), exact.states.values()));
  std::vector<Pair> chosen_only = pairs;
  for (Pair& pair : chosen_only) pair.rejected = pair.chosen;
  const Matrix<double> moments = residual_moments(chosen_only, output, false);
  EXPECT_GT(captured(moments, few.embeddings), 0.97 * captured(moments, exact.embeddings));
  EXPECT_EQ(few.sample_residuals.rows(), followed.size());
  // As it is with a part of the tokens.
  const TokenBasis part = fit_token_basis(output, tokens, {16, output.vocabulary(), followed.size() / 2}, kRank, 1);
  EXPECT_EQ(part.sample_residuals.rows(), followed.size() / 2);
  EXPECT_GT(captured(moments, part.embeddings), 0.95 * captured(moments, exact.embeddings));
}

/// Kills the process when a stage begins whose name holds something.
class KillAt : public NewsSink {
 public:
  explicit KillAt(std::string stage) : stage_(std::move(stage)) { install_news_sink(this); }
  void line(const std::string&) override {}
  void warning(const std::string&) override {}
  void progress(const ProgressState& state) override {
    if (state.stage.find(stage_) != std::string::npos) ::kill(::getpid(), SIGKILL);
  }

 private:
  std::string stage_;
};

/// Killed before the basis, after it, and with what the basis was made of lost: the same bytes, nothing left behind.
TEST(TokenSums, AreTheSameBytesAfterAKillInTheSetUp) {
  const TemporaryFolder folder;
  write_pairs(sample_pairs(600), folder / "pairs.jsonl");
  const RecordStore data({{folder / "pairs.jsonl"}, {}}, folder.path());
  extract_file(tiny(), data, folder / "whole", with_tokens());
  const std::string bytes = read_file(folder / "whole");
  std::filesystem::remove(folder / "whole");
  for (const char* stage : {"evaluating", "basis", "extracting"}) {
    for (const bool damaged : {false, true}) {
      const pid_t child = ::fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        KillAt kill(stage);
        ExtractOptions options = with_tokens();
        // A fast machine would have extracted everything before the news of that stage is due.
        if (std::string(stage) == "extracting") options.on_progress = [](const ExtractProgress&) { ::raise(SIGKILL); };
        extract_file(tiny(), data, folder / "out", options);
        ::_exit(0);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status)) << stage;
      const auto states = token_states_path(folder / "out", {});
      ASSERT_TRUE(std::filesystem::exists(states)) << stage;
      if (damaged) {
        // A kill in the middle of a block, or the states are gone: what is missing is evaluated.
        if (std::string(stage) == "extracting") {
          std::filesystem::remove(states);
        } else {
          const std::string log = read_file(states);
          write_file(states, log.substr(0, log.size() * 2 / 3));
        }
      }
      extract_file(tiny(), data, folder / "out", with_tokens());
      EXPECT_TRUE(read_file(folder / "out") == bytes) << stage << " " << damaged;
      std::filesystem::remove(folder / "out");
      EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "something was left";
    }
  }
}

/// The logits of guidance are those of an export, and are not those without guidance.
void expect_guided(std::span<const float> guided, std::span<const float> exported, std::span<const float> unguided,
                   double rounding) {
  ASSERT_EQ(guided.size(), exported.size());
  double moved = 0;
  for (std::size_t c = 0; c < guided.size(); ++c) {
    EXPECT_NEAR(guided[c], exported[c], rounding);
    moved = std::max(moved, std::abs(static_cast<double>(guided[c]) - static_cast<double>(unguided[c])));
  }
  EXPECT_GT(moved, 0.1);
}

/// What an adapter on the output matrix does, a merged model does, and guidance does, is one and the same.
TEST(TokenHead, GuidesAsItsExportsDo) {
  const TemporaryFolder folder;
  const TokenHead head = random_head(tiny().identity().dimension);
  const OutputMatrix output(tiny());
  constexpr double kScale = 1.7;
  write_lora(tiny(), output, output_change(head, output, kScale), "tone", folder / "lora.gguf");
  write_merged(tiny(), output, output_change(head, output, kScale), MergedType::Full, "tone", folder / "merged.gguf");
  const Backbone adapted({test::test_file("tiny-llama.gguf"), folder / "lora.gguf", 1});
  const Backbone merged{ModelFile(folder / "merged.gguf")};
  const TokenTilt tilt(head, output, kScale);
  const std::vector<Token> tokens = tiny().encode_prompt(sample_pairs(1)[0].prompt).tokens;
  Session plain(tiny(), {1, 64, 1});
  Session with_adapter(adapted, {1, 64, 1});
  Session of_merged(merged, {1, 64, 1});
  const Session::Output here = plain.start(0, tokens);
  std::vector<float> logits(here.logits.begin(), here.logits.end());
  tilt.add(here.state, 1, logits, nullptr);
  ThreadPool pool(3);
  std::vector<float> shared(here.logits.begin(), here.logits.end());
  tilt.add(here.state, 1, shared, &pool);
  EXPECT_EQ(shared, logits) << "other bits on three threads";
  const Session::Output there = with_adapter.start(0, tokens);
  const Session::Output apart = of_merged.start(0, tokens);
  // Logits of order one in single precision, their changes of rank 6 summed in another order.
  expect_guided(logits, there.logits, here.logits, 1e-4);
  expect_guided(logits, apart.logits, here.logits, 1e-4);
  const BiasTilt bias(head, output, kScale);
  std::vector<float> first(logits.size());
  std::vector<float> second(logits.size());
  bias.add(here.state, 1, first, nullptr);
  bias.add(std::vector<float>(output.dimension(), 5.0f), 1, second, nullptr);
  EXPECT_EQ(first, second) << "it does not know the context";
}

/// How far a tilt may be off: each column of its table is rounded to 16 bits of the largest number there.
double tilt_rounding(const TokenHead& head, const OutputMatrix& output, double scale, std::span<const float> state) {
  const Matrix<float> table = output.table(head.embeddings);
  const std::vector<double> h(state.begin(), state.end());
  double sum = 0;
  for (std::size_t b = 0; b < head.rank(); ++b) {
    double factor = 0;
    for (std::size_t a = 0; a < head.rank(); ++a) {
      factor += static_cast<double>(head.weights(a, b)) * product(head.states.row(a), h);
    }
    double most = 0;
    for (const float value : table.row(b)) most = std::max(most, std::abs(static_cast<double>(value)));
    sum += std::abs(scale * factor) * most / 65534;
  }
  return sum;
}

/// Stored in blocks of eight bits: what is lost is measured, and is little; blocks that the rows do not fill are
/// refused.
TEST(TokenHead, MergedModelsAreQuantisedWithAMeasuredLoss) {
  const TemporaryFolder folder;
  const OutputMatrix output(tiny());
  const TokenHead head = random_head(tiny().identity().dimension);
  const OutputChange change = output_change(head, output, 1);
  const TokenTilt tilt(head, output, 1);
  std::map<MergedType, ExportLoss> losses;
  std::map<MergedType, std::uintmax_t> bytes;
  for (const MergedType type : {MergedType::Full, MergedType::Q8_0}) {
    const std::filesystem::path path = folder / fmt::format("{}.gguf", static_cast<int>(type));
    write_merged(tiny(), output, change, type, "a tone of its own", path);
    const Backbone merged{ModelFile(path)};
    EXPECT_EQ(merged.identity().name, "a tone of its own");
    losses[type] = export_loss(tiny(), tilt, merged, 1);
    bytes[type] = std::filesystem::file_size(path);
    EXPECT_GT(losses[type].tokens, 6u);
  }
  EXPECT_LT(losses[MergedType::Full].divergence, 1e-5);
  EXPECT_EQ(losses[MergedType::Full].same_tokens, 1);
  EXPECT_LT(losses[MergedType::Q8_0].divergence, 1e-2);
  EXPECT_GT(losses[MergedType::Q8_0].divergence, losses[MergedType::Full].divergence);
  EXPECT_LT(bytes[MergedType::Q8_0], bytes[MergedType::Full]);
  // Another change than the guidance's is seen: without it the numbers above would say nothing.
  write_merged(tiny(), output, output_change(head, output, 0), MergedType::Full, "plain", folder / "plain.gguf");
  EXPECT_GT(export_loss(tiny(), tilt, Backbone{ModelFile(folder / "plain.gguf")}, 1).divergence, 1e-2);
  ASSERT_NE(output.dimension() % 256, 0u);
  EXPECT_EQ(error_code_of([&] { write_merged(tiny(), output, change, MergedType::Q6_K, "tone", folder / "six.gguf"); }),
            ErrorCode::BadInput);
}

/// A model that writes with its embedding gets an output matrix of its own; what it reads stays as it was.
TEST(TokenHead, TiedModelsAreMergedAndHaveNoAdapter) {
  const TemporaryFolder folder;
  test::write_tied(folder / "tied.gguf");
  const Backbone tied(folder / "tied.gguf");
  const OutputMatrix output(tied);
  ASSERT_TRUE(output.tied());
  const TokenHead head = random_head(tied.identity().dimension);
  constexpr double kScale = 1.7;
  const OutputChange change = output_change(head, output, kScale);
  EXPECT_EQ(error_code_of([&] { write_lora(tied, output, change, "tone", folder / "lora.gguf"); }),
            ErrorCode::BadInput);
  EXPECT_FALSE(std::filesystem::exists(folder / "lora.gguf"));
  write_merged(tied, output, change, MergedType::Full, "tone", folder / "merged.gguf");
  const Backbone merged{ModelFile(folder / "merged.gguf")};
  EXPECT_FALSE(OutputMatrix(merged).tied());
  const TokenTilt tilt(head, output, kScale);
  Session of_tied(tied, {1, 64, 1});
  Session of_merged(merged, {1, 64, 1});
  const std::vector<Token> tokens = tied.encode_prompt(sample_pairs(1)[0].prompt).tokens;
  Session::Output here = of_tied.start(0, tokens);
  Session::Output there = of_merged.start(0, tokens);
  for (int step = 0; step < 10; ++step) {
    // The same weights up to the last norm, so the same states.
    EXPECT_TRUE(std::ranges::equal(here.state, there.state)) << "of token " << step;
    std::vector<float> logits(here.logits.begin(), here.logits.end());
    tilt.add(here.state, 1, logits, nullptr);
    const double rounding = 1e-4 + tilt_rounding(head, output, kScale, here.state);
    expect_guided(logits, there.logits, here.logits, rounding);
    const Session::Row row{0, static_cast<Token>(std::ranges::max_element(logits) - logits.begin())};
    here = of_tied.step({&row, 1}).front();
    there = of_merged.step({&row, 1}).front();
  }
}

/// Logits that are a multiple of the product get the same tilt as others, so what is exported is that much larger.
TEST(TokenHead, ExportsAllowForAFactorOfTheLogits) {
  const TemporaryFolder folder;
  test::write_granite(folder / "granite.gguf", 4);
  const Backbone granite(folder / "granite.gguf");
  const OutputMatrix output(granite);
  EXPECT_NEAR(output.scale(), 0.25, 1e-6);
  const TokenHead head = random_head(granite.identity().dimension);
  constexpr double kScale = 1.7;
  write_lora(granite, output, output_change(head, output, kScale), "tone", folder / "lora.gguf");
  write_merged(granite, output, output_change(head, output, kScale), MergedType::Full, "tone", folder / "merged.gguf");
  const Backbone adapted({folder / "granite.gguf", folder / "lora.gguf", 1});
  const Backbone merged{ModelFile(folder / "merged.gguf")};
  const std::vector<Token> tokens = granite.encode_prompt(sample_pairs(1)[0].prompt).tokens;
  Session plain(granite, {1, 64, 1});
  Session with_adapter(adapted, {1, 64, 1});
  Session of_merged(merged, {1, 64, 1});
  const Session::Output here = plain.start(0, tokens);
  std::vector<float> logits(here.logits.begin(), here.logits.end());
  TokenTilt(head, output, kScale).add(here.state, 1, logits, nullptr);
  const double rounding = 1e-4 + tilt_rounding(head, output, kScale, here.state);
  const Session::Output there = with_adapter.start(0, tokens);
  const Session::Output apart = of_merged.start(0, tokens);
  expect_guided(logits, there.logits, here.logits, rounding);
  expect_guided(logits, apart.logits, here.logits, rounding);
}

TEST(TokenHead, MergedModelsAreChangedWhereTheyShouldBe) {
  const TemporaryFolder folder;
  const OutputMatrix output(tiny());
  const TokenHead head = random_head(tiny().identity().dimension);
  write_merged(tiny(), output, output_change(head, output, 0), MergedType::Full, "tone", folder / "same.gguf");
  const Backbone same{ModelFile(folder / "same.gguf")};
  const OutputMatrix of_same(same);
  for (std::size_t c = 0; c < output.vocabulary(); ++c) EXPECT_EQ(output_row(output, c), output_row(of_same, c));
  EXPECT_EQ(error_code_of([&] {
              write_merged(tiny(), output, output_change(head, output, 1), MergedType::Full, "tone",
                           test::test_file("tiny-llama.gguf"));
            }),
            ErrorCode::BadUsage);
}

TEST(TokenHead, IsKeptInTheHeadFile) {
  const TemporaryFolder folder;
  Head head;
  head.transform = FeatureTransform::identity(4);
  head.network.theta1 = Matrix<float>(1, 4);
  head.network.theta2 = {1.0f};
  head.metadata = {{"coala.format", "head-1"}, {"activation", "relu"}};
  save_head(head, folder / "plain");
  EXPECT_FALSE(load_head(folder / "plain").token);
  head.token = random_head(32);
  save_head(head, folder / "with");
  const Head read = load_head(folder / "with");
  ASSERT_TRUE(read.token);
  EXPECT_TRUE(std::ranges::equal(read.token->weights.values(), head.token->weights.values()));
  EXPECT_TRUE(std::ranges::equal(read.token->states.values(), head.token->states.values()));
  EXPECT_TRUE(std::ranges::equal(read.token->embeddings.values(), head.token->embeddings.values()));
  EXPECT_EQ(read.token->bias, head.token->bias);
  head.token->bias[0] = NAN;
  save_head(head, folder / "not-a-number");
  EXPECT_EQ(error_code_of([&] { load_head(folder / "not-a-number"); }), ErrorCode::CorruptFile);
}

}  // namespace
}  // namespace coala
