// First gates of the gated program: each source against what it says, and no pattern twice.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "reference.h"
#include "solver/gate_draws.h"

namespace coala {
namespace {

constexpr GateSource kSources[] = {GateSource::Gaussian, GateSource::ClassMeans, GateSource::Pairs,
                                   GateSource::Principal};

GateSample random_sample(std::size_t m, std::size_t d, std::uint64_t seed) {
  Random random(seed);
  GateSample sample{test::normal_matrix(m, d, random), {}};
  for (std::size_t i = 0; i < m; ++i) sample.labels.push_back(i % 3 == 0 ? 1.0f : -1.0f);
  return sample;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

double product(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}

/// The sides that the rows lie on, the first row's written as 0.
std::string sides(std::span<const float> gate, const Matrix<float>& x) {
  const bool first = product(gate, x.row(0)) >= 0;
  std::string text;
  for (std::size_t i = 0; i < x.rows(); ++i) text += (product(gate, x.row(i)) >= 0) == first ? '0' : '1';
  return text;
}

TEST(GateDraws, EverySourceGivesUnitGatesThatDifferOnTheSample) {
  const GateSample sample = random_sample(200, 20, 1);
  for (const GateSource source : kSources) {
    const Matrix<float> gates = draw_gates_with_linear(source, 15, sample, 3);
    ASSERT_EQ(gates.rows(), 16u) << name_of(source);
    std::set<std::string> seen;
    for (std::size_t p = 0; p < gates.rows(); ++p) {
      EXPECT_TRUE(seen.insert(sides(gates.row(p), sample.x)).second) << name_of(source) << " " << p;
      // 20 entries, each rounded to 2^-24 of itself.
      const double square = product(gates.row(p), gates.row(p));
      EXPECT_NEAR(square, p == 0 ? 0.0 : 1.0, 2 * 0x1p-24);
    }
    EXPECT_TRUE(same_bits(gates.values(), draw_gates_with_linear(source, 15, sample, 3).values()));
    const bool other = same_bits(gates.values(), draw_gates_with_linear(source, 15, sample, 4).values());
    EXPECT_EQ(other, source == GateSource::Principal) << name_of(source);
  }
}

TEST(GateDraws, AllPatternsOfAPentagonAndNoMore) {
  // Five rows at equal angles: a line through the origin splits them in five ways (Cover 1965: 2 * 5 with their
  // opposites), each open to a tenth of the half circle or more; no line has all of them on one side.
  GateSample sample{Matrix<float>(5, 2), {1, -1, 1, -1, 1}};
  for (std::size_t i = 0; i < 5; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / 5;
    sample.x(i, 0) = static_cast<float>(std::cos(angle));
    sample.x(i, 1) = static_cast<float>(std::sin(angle));
  }
  EXPECT_EQ(draw_gates_with_linear(GateSource::Gaussian, 3, sample, 1).rows(), 4u);
  EXPECT_EQ(draw_gates_with_linear(GateSource::Gaussian, 50, sample, 1).rows(), 6u);
}

TEST(GateDraws, SourcesThatRunDryGiveFewer) {
  const GateSample line = random_sample(50, 1, 5);  // one column: a gate or its opposite
  for (const GateSource source : kSources) {
    EXPECT_EQ(draw_gates_with_linear(source, 15, line, 1).rows(), 2u) << name_of(source);
  }
  GateSample same{Matrix<float>(4, 3, AlignedVector<float>(12, 1.0f)), {1, -1, 1, -1}};  // nothing to tell apart
  for (const GateSource source : kSources) {
    EXPECT_EQ(draw_gates_with_linear(source, 15, same, 1).rows(), 1u) << name_of(source);
  }
}

TEST(GateDraws, PairsPointFromRowToRow) {
  const GateSample sample = random_sample(12, 4, 9);
  const Matrix<float> gates = draw_gates_with_linear(GateSource::Pairs, 6, sample, 2);
  for (std::size_t p = 1; p < gates.rows(); ++p) {
    double nearest = HUGE_VAL;
    for (std::size_t a = 0; a < 12; ++a) {
      for (std::size_t b = 0; b < 12; ++b) {
        std::vector<float> step(4);
        for (std::size_t j = 0; j < 4; ++j) step[j] = sample.x(a, j) - sample.x(b, j);
        const double size = std::sqrt(product(step, step));
        if (size > 0) nearest = std::min(nearest, 1 - product(gates.row(p), step) / size);
      }
    }
    EXPECT_LE(nearest, 1e-6) << p;
  }
}

TEST(GateDraws, ClassMeansLeanFromMinusToPlus) {
  GateSample sample = random_sample(600, 10, 11);
  for (std::size_t i = 0; i < 600; ++i) sample.x(i, 0) += 2 * sample.labels[i];
  const Matrix<float> gates = draw_gates_with_linear(GateSource::ClassMeans, 15, sample, 6);
  ASSERT_EQ(gates.rows(), 16u);
  // The means of 30 rows differ by 4 along the first column, with errors of sqrt(2 / 30) in each of ten: the cosine is
  // near 4 / sqrt(16 + 2 / 3); five errors off it stays above 0.8.
  for (std::size_t p = 1; p < 16; ++p) EXPECT_GE(gates(p, 0), 0.8) << p;
}

TEST(GateDraws, PrincipalDirectionsComeInOrder) {
  // Rows along the axes: the second moments are diagonal, their eigenvectors the axes, longest first.
  GateSample sample{Matrix<float>(8, 4), std::vector<float>(8, 1.0f)};
  const float length[] = {2, 5, 1, 3};
  for (std::size_t j = 0; j < 4; ++j) {
    sample.x(2 * j, j) = length[j];
    sample.x(2 * j + 1, j) = -length[j];
  }
  const Matrix<float> gates = draw_gates_with_linear(GateSource::Principal, 3, sample, 0);
  ASSERT_EQ(gates.rows(), 4u);
  const std::size_t order[] = {1, 3, 0};
  for (std::size_t p = 1; p < 4; ++p) EXPECT_NEAR(std::abs(gates(p, order[p - 1])), 1.0, 1e-6) << p;

  // More gates than columns: the rest points from row to row, here along the sum or difference of two axes.
  const Matrix<float> more = draw_gates_with_linear(GateSource::Principal, 6, sample, 0);
  ASSERT_EQ(more.rows(), 7u);
  for (std::size_t p = 0; p < 4; ++p) EXPECT_TRUE(same_bits(more.row(p), gates.row(p))) << p;
  for (std::size_t p = 5; p < 7; ++p) {
    float longest = 0;
    for (const float value : more.row(p)) longest = std::max(longest, std::abs(value));
    EXPECT_LE(longest, 0.99f) << p;
  }
}

TEST(GateDraws, ASampleThatCannotServeIsRefused) {
  EXPECT_THROW(draw_gates_with_linear(GateSource::Gaussian, 3, GateSample{}, 0), Error);
  GateSample sample = random_sample(20, 3, 13);
  sample.labels.assign(20, 1.0f);
  EXPECT_THROW(draw_gates_with_linear(GateSource::ClassMeans, 3, sample, 0), Error);
  EXPECT_EQ(draw_gates_with_linear(GateSource::Pairs, 3, sample, 0).rows(), 4u);
}

}  // namespace
}  // namespace coala
