// The gated operator against plain loops in double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "core/half.h"
#include "cpu_device.h"
#include "linalg/backend.h"
#include "reference.h"
#include "solver/gated_operator.h"
#include "solver/gates.h"
#include "support.h"

namespace coala {
namespace {

using test::CpuDevice;
using test::Plain;
using test::rounding_bound;

enum class Shape { Pointwise, Pairs, TwoSegments };

Plain make(Shape shape, std::size_t n, std::size_t d, std::size_t gate_count, std::uint64_t seed) {
  Random random(seed);
  Plain plain;
  plain.gates = test::normal_matrix(gate_count, d, random);
  for (float& value : plain.gates.row(0)) value = 0;
  Matrix<float> plus = test::normal_matrix(n, d, random);
  Matrix<float> minus = shape == Shape::Pairs ? test::normal_matrix(n, d, random) : Matrix<float>();
  plain.segments.emplace_back(std::move(plus), std::move(minus));
  if (shape == Shape::TwoSegments) plain.segments.emplace_back(test::normal_matrix(n + 3, d, random), Matrix<float>());
  plain.targets.labels.assign(shape == Shape::TwoSegments ? 2 * n + 3 : n, 1.0f);
  return plain;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

struct Case {
  Shape shape;
  std::size_t n, d, groups;
};

class GatedOperatorTest : public ::testing::TestWithParam<Case> {};

TEST_P(GatedOperatorTest, StaysWithinRoundingOfPlainLoops) {
  const auto [shape, n, d, groups] = GetParam();
  const Plain plain = make(shape, n, d, groups, 7 * n + d + groups);
  Random random(n);
  const Matrix<float> w = test::normal_matrix(groups, d, random);
  std::vector<float> r(plain.count());
  for (float& value : r) value = static_cast<float>(random.normal());

  std::vector<double> z_size;
  Matrix<double> g_size;
  const std::vector<double> z_exact = plain.forward(w, &z_size);
  const Matrix<double> g_exact = plain.adjoint(r, &g_size);
  const std::size_t sides = shape == Shape::Pairs ? 2 : 1;
  // One rounding per product (none with FMA), one per addition: d terms and P groups; the rows, the parts and
  // segments, and the 32 entries of a table.
  const double z_bound = rounding_bound(sides * (d + groups + 4));
  const double g_bound = rounding_bound(sides * plain.count() + 40);

  for (const int threads : {1, 2, 3}) {
    SCOPED_TRACE(::testing::Message() << threads << " threads");
    ThreadPool pool(threads);
    GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
    ASSERT_EQ(f.rows(), plain.count());
    ASSERT_EQ(f.groups(), groups);
    EXPECT_EQ(f.bytes_per_pass(), plain.count() * d * 4 * sides);

    std::vector<float> z(plain.count(), std::nanf(""));
    f.forward(w.view(), z);
    for (std::size_t i = 0; i < z.size(); ++i) {
      ASSERT_TRUE(std::abs(z[i] - z_exact[i]) <= z_bound * z_size[i]) << i << ": " << z[i] << " " << z_exact[i];
    }
    Matrix<float> g(groups, d, AlignedVector<float>(groups * d, std::nanf("")));
    f.adjoint(r, g.view());
    for (std::size_t p = 0; p < groups; ++p) {
      for (std::size_t j = 0; j < d; ++j) {
        ASSERT_TRUE(std::abs(g(p, j) - g_exact(p, j)) <= g_bound * g_size(p, j))
            << p << "," << j << ": " << g(p, j) << " " << g_exact(p, j);
      }
    }

    // The fused pass: r_i = c_i z_i of its own rounded predictions, so the bound is the adjoint's alone.
    std::vector<float> seen(plain.count(), std::nanf(""));
    const auto map = [&](std::size_t i, float value) {
      seen[i] = value;
      return r[i] * value;
    };
    Matrix<float> fused(groups, d, AlignedVector<float>(groups * d, std::nanf("")));
    f.fused(w.view(), map, fused.view());
    std::vector<float> product(plain.count());
    for (std::size_t i = 0; i < product.size(); ++i) {
      ASSERT_TRUE(std::abs(seen[i] - z_exact[i]) <= z_bound * z_size[i]) << i;
      product[i] = r[i] * seen[i];
    }
    Matrix<double> fused_size;
    const Matrix<double> fused_exact = plain.adjoint(product, &fused_size);
    for (std::size_t k = 0; k < fused.values().size(); ++k) {
      ASSERT_TRUE(std::abs(fused.values()[k] - fused_exact.values()[k]) <= g_bound * fused_size.values()[k]) << k;
    }

    // The same call gives the same bits, from this object and from another with as many threads.
    ThreadPool other_pool(threads);
    GatedOperator<float> other(plain.rows(), plain.gates.view(), other_pool);
    for (GatedOperator<float>* again : {&f, &other}) {
      std::vector<float> z_again(plain.count());
      Matrix<float> g_again(groups, d);
      again->forward(w.view(), z_again);
      EXPECT_TRUE(same_bits(z, z_again));
      again->adjoint(r, g_again.view());
      EXPECT_TRUE(same_bits(g.values(), g_again.values()));
      again->fused(w.view(), map, g_again.view());
      EXPECT_TRUE(same_bits(fused.values(), g_again.values()));
    }
    EXPECT_EQ(f.passes(), 6u);

    // <F w, r> = <w, F' r>: both sides with their own rounding.
    double left = 0;
    double right = 0;
    double slack = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      left += static_cast<double>(z[i]) * r[i];
      slack += z_bound * z_size[i] * std::abs(r[i]);
    }
    for (std::size_t k = 0; k < g.values().size(); ++k) {
      right += static_cast<double>(g.values()[k]) * w.values()[k];
      slack += g_bound * g_size.values()[k] * std::abs(w.values()[k]);
    }
    EXPECT_TRUE(std::abs(left - right) <= slack) << left << " " << right;
  }
}

std::vector<Case> cases() {
  std::vector<Case> result;
  for (const Shape shape : {Shape::Pointwise, Shape::Pairs, Shape::TwoSegments}) {
    for (const std::size_t n : {1, 255, 256, 257}) result.push_back({shape, n, 13, 5});
    result.push_back({shape, 1000, 33, 4});
    result.push_back({shape, 100, 1, 3});
    for (std::size_t groups = 1; groups <= 17; ++groups) result.push_back({shape, 70, 25, groups});
    result.push_back({shape, 40, 64, 33});
    result.push_back({shape, 11, 2100, 1});  // wider than a block of columns of the linear model
  }
  return result;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  const char* const names[] = {"Pointwise", "Pairs", "TwoSegments"};
  return std::string(names[static_cast<int>(info.param.shape)]) + "_n" + std::to_string(info.param.n) + "_d" +
         std::to_string(info.param.d) + "_P" + std::to_string(info.param.groups);
}

INSTANTIATE_TEST_SUITE_P(Shapes, GatedOperatorTest, ::testing::ValuesIn(cases()), case_name);

TEST(GatedOperator, DevicesKeepTheirRowsBesideEachOther) {
  ThreadPool pool(1);
  CpuDevice first(pool);
  CpuDevice second(pool);
  const Plain plain = make(Shape::Pointwise, 40, 6, 3, 4);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  Random random(9);
  const Matrix<float> w = test::normal_matrix(3, 6, random);
  std::vector<float> expected(40);
  f.forward(w.view(), expected);

  // As two solvers hold them: the second's rows do not take the place of the first's.
  PassRows& of_first = f.on(first);
  PassRows& of_second = f.on(second);
  EXPECT_NE(&of_first, &of_second);
  for (const auto& [device, rows] : {std::pair(&first, &of_first), {&second, &of_second}, {&first, &of_first}}) {
    const Buffer weights = device->constant(w.values());
    Buffer z = device->allocate(40);
    device->gated_pass(*rows, {.w = &weights, .z = &z});
    EXPECT_TRUE(same_bits(device->read(z), expected));
    EXPECT_EQ(&f.on(*device), rows);
    EXPECT_EQ(device->loads, 1);
  }
  EXPECT_EQ(f.passes(), 4u);
}

TEST(GatedOperator, OneMovedEntryIsSeen) {
  // The comparison itself must be able to fail: four times the bound is outside.
  const Plain plain = make(Shape::Pointwise, 20, 5, 2, 1);
  Random random(2);
  const Matrix<float> w = test::normal_matrix(2, 5, random);
  std::vector<double> size;
  const std::vector<double> exact = plain.forward(w, &size);
  const double bound = rounding_bound(5 + 2 + 4);
  EXPECT_FALSE(std::abs(exact[3] + 4 * bound * size[3] - exact[3]) <= bound * size[3]);
  EXPECT_FALSE(std::abs(std::nan("") - exact[3]) <= bound * size[3]);
}

TEST(GatedOperator, GivenPatternIsUsed) {
  Random random(3);
  const Matrix<double> x = [&] {
    Matrix<double> m(300, 4);
    for (double& value : m.values()) value = random.normal();
    return m;
  }();
  Matrix<std::uint8_t> pattern(300, 3);
  for (std::uint8_t& bit : pattern.values()) bit = random.below(2) != 0 ? 1 : 0;
  Matrix<double> w(3, 4);
  for (double& value : w.values()) value = random.normal();
  ThreadPool pool(2);
  GatedOperator<double> f(DesignRows<double>{{{x.view(), {}}}}, pattern, pool);
  std::vector<double> z(300);
  f.forward(w.view(), z);
  for (std::size_t i = 0; i < 300; ++i) {
    double expected = 0;
    double size = 0;
    for (std::size_t p = 0; p < 3; ++p) {
      for (std::size_t j = 0; j < 4 && pattern(i, p) != 0; ++j) {
        expected += x(i, j) * w(p, j);
        size += std::abs(x(i, j) * w(p, j));
      }
    }
    ASSERT_TRUE(std::abs(z[i] - expected) <= 2 * rounding_bound(11, 0x1p-53) * size) << i;
  }
}

StoredRows stored_as(Dtype dtype, const Matrix<float>& rows) {
  if (dtype == Dtype::F32) return rows;
  const auto words = std::make_shared<std::vector<std::uint16_t>>();
  for (const float value : rows.values()) {
    words->push_back(dtype == Dtype::F16 ? f32_to_f16(value) : f32_to_bf16(value));
  }
  return {dtype, rows.rows(), rows.cols(), reinterpret_cast<const std::byte*>(words->data()), words};
}

/// Every type of stored numbers, as they are and with a transform that the operator folds into the weights, in the
/// order of the file and in another one, against plain loops over what the transform makes of each row.
TEST(GatedOperator, ReadsRowsAsTheyAreStored) {
  for (const Dtype dtype : {Dtype::F32, Dtype::F16, Dtype::BF16}) {
    for (const bool with_transform : {false, true}) {
      for (const std::size_t d : {1u, 37u, 128u, 300u}) {
        SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " d " << d << " transform " << with_transform);
        constexpr std::size_t kRows = 150;
        constexpr std::size_t kGroups = 7;
        Random random(d);
        Matrix<float> values[2];
        for (Matrix<float>& side : values) {
          side = test::normal_matrix(kRows, d, random);
          for (float& value : side.values()) value = 5 + 0.5f * value;
        }
        auto transform = std::make_shared<FeatureTransform>(FeatureTransform::identity(d));
        if (with_transform) {
          transform->mean.assign(d, 5.0f);
          for (std::size_t j = 0; j < d; ++j)
            transform->scale[j] = j % 11 == 3 ? 0.0f : 2.0f / static_cast<float>(1 + j % 3);
        }
        std::vector<std::size_t> order(kRows);
        for (std::size_t i = 0; i < kRows; ++i) order[i] = i * 7 % kRows;
        const DesignRows<float> rows{
            {{stored_as(dtype, values[0]).subset(order), stored_as(dtype, values[1]).subset(order)}},
            with_transform ? transform : nullptr};
        Matrix<float> gates = test::normal_matrix(kGroups, d, random);
        for (float& value : gates.row(2)) value = 0;
        const Matrix<float> w = test::normal_matrix(kGroups, d, random);
        std::vector<float> r(kRows);
        for (float& value : r) value = static_cast<float>(random.normal());

        std::vector<double> z_exact(kRows);
        std::vector<double> z_size(kRows);
        Matrix<double> g_exact(kGroups, d);
        Matrix<double> g_size(kGroups, d);
        for (std::size_t i = 0; i < kRows; ++i) {
          for (int side = 0; side < 2; ++side) {
            const double sign = side == 0 ? 1 : -1;
            std::vector<float> x(d);
            std::vector<double> size(d);  // of the terms that the operator adds up: feature and mean, scaled
            for (std::size_t j = 0; j < d; ++j) {
              const float value = values[side](order[i], j);
              const float stored = dtype == Dtype::F32   ? value
                                   : dtype == Dtype::F16 ? f16_to_f32(f32_to_f16(value))
                                                         : bf16_to_f32(f32_to_bf16(value));
              x[j] = static_cast<float>((static_cast<double>(stored) - transform->mean[j]) * transform->scale[j]);
              size[j] = (std::abs(stored) + std::abs(transform->mean[j])) * transform->scale[j];
            }
            for (std::size_t p = 0; p < kGroups; ++p) {
              if (!gate_open(gates.row(p), x)) continue;
              for (std::size_t j = 0; j < d; ++j) {
                z_exact[i] += sign * static_cast<double>(w(p, j)) * x[j];
                z_size[i] += std::abs(w(p, j)) * size[j];
                g_exact(p, j) += sign * static_cast<double>(r[i]) * x[j];
                g_size(p, j) += std::abs(r[i]) * size[j];
              }
            }
          }
        }
        // As above, and the rounding of x itself, of the scaled weights, of the shifts and of the final difference.
        const double z_bound = rounding_bound(2 * (d + kGroups + 4) + 6);
        const double g_bound = rounding_bound(2 * kRows + 40 + 6);
        ThreadPool pool(2);
        GatedOperator<float> f(rows, gates.view(), pool);
        EXPECT_EQ(f.bytes_per_pass(), 2 * kRows * d * dtype_bytes(dtype));
        std::vector<float> z(kRows);
        f.forward(w.view(), z);
        for (std::size_t i = 0; i < kRows; ++i) ASSERT_LE(std::abs(z[i] - z_exact[i]), z_bound * z_size[i]) << i;
        Matrix<float> g(kGroups, d);
        f.adjoint(r, g.view());
        for (std::size_t k = 0; k < g.values().size(); ++k) {
          ASSERT_LE(std::abs(g.values()[k] - g_exact.values()[k]), g_bound * g_size.values()[k]) << k;
        }
      }
    }
  }
}

TEST(Gates, ZeroGateIsOpenAndSeedsRepeat) {
  const Matrix<float> drawn = draw_gates(4, 6, 11);
  EXPECT_TRUE(same_bits(drawn.values(), draw_gates(4, 6, 11).values()));
  EXPECT_FALSE(same_bits(drawn.values(), draw_gates(4, 6, 12).values()));
  const Matrix<float> gates(1, 6);
  const std::vector<float> x{-1, -2, -3, -4, -5, -6};
  EXPECT_TRUE(gate_open(gates.row(0), std::span<const float>(x)));
}

TEST(Gates, PatternIsExactWhereProductsNearlyVanish) {
  // Rows at right angles to a gate up to the last bits: the sign of the product is that of the sum in double, in order.
  Random random(5);
  const Matrix<float> gates = test::normal_matrix(5, 40, random);
  Matrix<float> x = test::normal_matrix(500, 40, random);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const auto gate = gates.row(i % 5);
    const double share = test::inner<float, float>(gate, x.row(i)) / test::inner<float, float>(gate, gate);
    for (std::size_t j = 0; j < 40; ++j) x(i, j) = static_cast<float>(x(i, j) - share * gate[j]);
  }
  std::fill(x.row(7).begin(), x.row(7).end(), 0.0f);
  ThreadPool pool(2);
  const Matrix<std::uint8_t> pattern = gate_pattern(std::as_const(x).view(), gates.view(), pool);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t p = 0; p < 5; ++p) {
      double sum = 0;
      for (std::size_t j = 0; j < 40; ++j) sum += static_cast<double>(gates(p, j)) * static_cast<double>(x(i, j));
      EXPECT_EQ(pattern(i, p), sum >= 0 ? 1 : 0) << i << " " << p << " " << sum;
    }
  }
}

TEST(Gates, RefinementTurnsTowardsTheWeights) {
  Matrix<float> gates(4, 2, {0, 0, 2, 0, 0, 1, 1, 1});
  const Matrix<float> w(4, 2, {5, 5, 0, 3, 0, -4, 0, 0});
  const Matrix<float> refined = refine_gates(gates, w);
  const float half = static_cast<float>(std::sqrt(0.5));
  const std::vector<float> expected{0, 0, half, half, 0, 1, 1, 1};  // linear; turned; opposed: already there; off
  for (std::size_t k = 0; k < expected.size(); ++k) EXPECT_NEAR(refined.values()[k], expected[k], 1e-7f) << k;
}

}  // namespace
}  // namespace coala
