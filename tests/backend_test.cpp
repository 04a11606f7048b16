// The contract of linalg/backend.h: every backend against plain loops in double, within what single precision rounds.
// The CPU's instruction sets are run one by one (tests/CMakeLists.txt), devices where they are built in and there.
#include "linalg/backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/half.h"
#include "reference.h"
#include "solver/certificate.h"
#include "solver/gated.h"
#include "support.h"
#ifdef COALA_VULKAN
#include "linalg/vulkan/vulkan_rows.h"
#endif

namespace coala {
namespace {

using test::rounding_bound;

constexpr double kUnit = 0x1p-24;  // of single precision

std::vector<std::string> built_backends() {
  std::vector<std::string> names{"cpu"};
#ifdef COALA_VULKAN
  names.emplace_back("vulkan:0");
#endif
  return names;
}

std::string name_of(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, ':', '_');
  return name;
}

class BackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::vector<std::string> there = backend_names();
    if (std::ranges::find(there, GetParam()) == there.end()) {
      GTEST_SKIP() << GetParam() << " is built in, but no such device is here";
    }
    backend = open_backend(GetParam(), pool);
    ASSERT_EQ(backend->name(), GetParam());
  }

  Buffer filled(std::span<const float> values) {
    Buffer buffer = backend->allocate(values.size());
    backend->upload(values, buffer);
    return buffer;
  }
  /// Numbers that a kernel must write over.
  Buffer blank(std::size_t size) { return filled(std::vector<float>(size, std::nanf(""))); }
  std::vector<float> numbers(const Buffer& buffer) {
    const std::span<const float> values = backend->read(buffer);
    return {values.begin(), values.end()};
  }

  ThreadPool pool{2};
  std::unique_ptr<Backend> backend;
};

#define EXPECT_WITHIN(value, exact, bound) \
  EXPECT_TRUE(std::abs((value) - (exact)) <= (bound)) << (value) << ", expected " << (exact) << " within " << (bound)

std::vector<float> normal_numbers(std::size_t count, Random& random, double scale = 1) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(scale * random.normal());
  return values;
}

/// Rows with random gates, in memory of their own.
struct Problem {
  struct Side {
    Matrix<float> stored;               ///< as the numbers are, whatever their type
    std::vector<std::uint16_t> halves;  ///< of F16 and BF16
    Matrix<std::uint8_t> open;
  };
  std::vector<std::pair<Side, Side>> segments;
  Dtype dtype = Dtype::F32;
  std::size_t n = 0, d = 0, groups = 0;
  std::vector<float> mean, scale;

  GatedData data() const {
    GatedData result;
    result.mean = mean;
    result.scale = scale;
    const auto rows = [&](const Side& side) {
      if (dtype == Dtype::F32) return StoredRows(side.stored.view());
      return StoredRows(dtype, side.stored.rows(), d, reinterpret_cast<const std::byte*>(side.halves.data()), nullptr);
    };
    for (const auto& [plus, minus] : segments) {
      result.segments.push_back(
          {rows(plus), minus.stored.rows() > 0 ? rows(minus) : StoredRows(), plus.open, minus.open});
    }
    return result;
  }
  std::size_t sides() const { return segments.front().second.stored.rows() > 0 ? 2 : 1; }

  /// visit(row, group, column, x, size, sign) for every open gate; size is what x was made of.
  template <class Visit>
  void for_each(const Visit& visit) const {
    std::size_t row = 0;
    for (const auto& [plus, minus] : segments) {
      for (std::size_t i = 0; i < plus.stored.rows(); ++i, ++row) {
        for (const Side* side : {&plus, &minus}) {
          if (side->stored.rows() == 0) continue;
          for (std::size_t p = 0; p < groups; ++p) {
            if (side->open(i, p) == 0) continue;
            for (std::size_t j = 0; j < d; ++j) {
              const double s = scale.empty() ? 1.0 : static_cast<double>(scale[j]);
              const double m = mean.empty() ? 0.0 : static_cast<double>(mean[j]);
              const double f = side->stored(i, j);
              visit(row, p, j, s * (f - m), std::abs(s) * (std::abs(f) + std::abs(m)), side == &plus ? 1.0 : -1.0);
            }
          }
        }
      }
    }
  }
  std::vector<double> forward(std::span<const float> w, std::vector<double>& sizes) const {
    std::vector<double> z(n);
    sizes.assign(n, 0.0);
    for_each([&](std::size_t i, std::size_t p, std::size_t j, double x, double size, double sign) {
      z[i] += sign * x * static_cast<double>(w[p * d + j]);
      sizes[i] += size * std::abs(static_cast<double>(w[p * d + j]));
    });
    return z;
  }
  std::vector<double> adjoint(std::span<const float> r, std::vector<double>& sizes) const {
    std::vector<double> g(groups * d);
    sizes.assign(groups * d, 0.0);
    for_each([&](std::size_t i, std::size_t p, std::size_t j, double x, double size, double sign) {
      g[p * d + j] += sign * x * static_cast<double>(r[i]);
      sizes[p * d + j] += size * std::abs(static_cast<double>(r[i]));
    });
    return g;
  }
  // One rounding for a product, one for an addition: of d terms, of the groups' weights; the transform and the entries
  // of a table are some more.
  double z_bound() const { return rounding_bound(sides() * (d + groups + 12)); }
  double g_bound() const { return rounding_bound(sides() * n + 48); }
};

enum class Kind { Pointwise, Pairs, TwoSegments };

Problem make_problem(Kind kind, std::size_t n, std::size_t d, std::size_t groups, Dtype dtype, bool transformed) {
  Random random(n + 31 * d + 1009 * groups);
  Problem problem;
  problem.dtype = dtype;
  problem.d = d;
  problem.groups = groups;
  const auto side = [&](std::size_t rows) {
    Problem::Side result;
    result.stored = test::normal_matrix(rows, d, random);
    for (std::size_t k = 0; dtype != Dtype::F32 && k < rows * d; ++k) {
      float& value = result.stored.values()[k];
      if (k / d % 5 == 4) value *= 1e-6f;  // rows of numbers of which F16 has a few bits left
      const std::uint16_t half = dtype == Dtype::F16 ? f32_to_f16(value) : f32_to_bf16(value);
      result.halves.push_back(half);
      value = dtype == Dtype::F16 ? f16_to_f32(half) : bf16_to_f32(half);
    }
    result.open = Matrix<std::uint8_t>(rows, groups);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t p = 0; p < groups; ++p) result.open(i, p) = p == 0 || random.uniform() < 0.5 ? 1 : 0;
    }
    return result;
  };
  const std::vector<std::size_t> counts =
      kind == Kind::TwoSegments ? std::vector<std::size_t>{n, n + 3} : std::vector<std::size_t>{n};
  for (const std::size_t count : counts) {
    problem.n += count;
    Problem::Side plus = side(count);
    problem.segments.emplace_back(std::move(plus), kind == Kind::Pairs ? side(count) : Problem::Side{});
  }
  if (transformed) {
    problem.mean = normal_numbers(d, random, 3);
    problem.scale = normal_numbers(d, random);
    problem.scale[d / 2] = 0;
  }
  return problem;
}

/// Weights, labels and margins that a loss may meet.
struct LossRows {
  std::vector<float> labels, weights, margins;
  explicit LossRows(std::size_t n) {
    Random random(n + 5);
    for (std::size_t i = 0; i < n; ++i) {
      labels.push_back(random.uniform() < 0.5 ? 1.0f : -1.0f);
      weights.push_back(i % 7 == 3 ? 0.0f : static_cast<float>(0.2 + random.uniform()));
      margins.push_back(static_cast<float>(random.normal()));
    }
  }
};

/// What a loss is at a prediction of single precision, and how far single precision may be off.
struct AtRow {
  double loss = 0, slope = 0, loss_bound = 0, slope_bound = 0;
};
AtRow at_row(Loss form, double z, double bias, double label, double weight, double margin) {
  AtRow at;
  const double sum = z + bias;
  if (form == Loss::Squared) {
    const double rest = sum - label;
    const double off = kUnit * (std::abs(sum) + std::abs(bias) + std::abs(rest));
    at.loss = weight * rest * rest / 2;
    at.slope = weight * rest;
    at.slope_bound = weight * (off + 4 * kUnit * std::abs(rest));
    at.loss_bound = weight * (std::abs(rest) * off + off * off) + 6 * kUnit * at.loss;
    return at;
  }
  const double u = margin - label * sum;
  const double off = kUnit * (std::abs(sum) + std::abs(bias) + std::abs(u));
  const double q = u > 0 ? 1 / (1 + std::exp(-u)) : std::exp(u) / (1 + std::exp(u));
  at.loss = weight * (u > 0 ? u + std::log1p(std::exp(-u)) : std::log1p(std::exp(u)));
  at.slope = -weight * label * q;
  // Both change by their own size for a change of u by 1, at most; a dozen roundings for the exponential and its
  // logarithm. Below exp(-87) there is 0.
  const double relative = std::expm1(off) + 16 * kUnit;
  at.slope_bound = weight * (q * relative + 1e-37);
  at.loss_bound = weight * (q * std::expm1(off) + 1e-37) + 16 * kUnit * at.loss;
  return at;
}

TEST_P(BackendTest, BuffersKeepWhatTheyAreGiven) {
  for (const std::size_t size : {1, 17, 1000, 5'000'000}) {  // the last is more than goes to a device at once
    std::vector<float> values(size);
    for (std::size_t k = 0; k < size; ++k) values[k] = static_cast<float>(k) + 0.5f;
    Buffer buffer = blank(size);
    backend->upload(values, buffer);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(numbers(buffer), values);
    Buffer other = blank(size);
    backend->copy(buffer, other);
    EXPECT_EQ(numbers(other), values);
    EXPECT_EQ(numbers(backend->constant(values)), values);
    std::ranges::reverse(values);  // a buffer that was given back may be taken for the next one
    Buffer third = filled(values);
    EXPECT_EQ(numbers(third), values);
    EXPECT_EQ(numbers(other).front(), 0.5f);
  }
}

struct PassCase {
  Kind kind;
  std::size_t n, d, groups;
  Dtype dtype = Dtype::F32;
  bool transformed = false;
};

std::vector<PassCase> pass_cases() {
  std::vector<PassCase> cases;
  for (const Kind kind : {Kind::Pointwise, Kind::Pairs, Kind::TwoSegments}) {
    for (const std::size_t n : {1, 7, 129, 1000}) cases.push_back({kind, n, 13, 5});
    for (const std::size_t groups : {1, 11, 33}) cases.push_back({kind, 90, 26, groups});
    for (const std::size_t d : {1, 257, 2100}) cases.push_back({kind, 40, d, 3});
    cases.push_back({kind, 300, 13, 5, Dtype::F32, true});
    cases.push_back({kind, 300, 33, 6, Dtype::F16, false});
    cases.push_back({kind, 300, 33, 6, Dtype::BF16, true});
    cases.push_back({kind, 50, 1200, 4, Dtype::F16, true});
  }
  return cases;
}

TEST_P(BackendTest, PassesStayWithinRoundingOfPlainLoops) {
  for (const auto& [kind, n, d, groups, dtype, transformed] : pass_cases()) {
    SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind) << " n " << n << " d " << d << " P "
                                      << groups << " " << dtype_name(dtype) << (transformed ? " transformed" : ""));
    const Problem problem = make_problem(kind, n, d, groups, dtype, transformed);
    const auto rows = backend->load_rows(problem.data());
    ASSERT_EQ(rows->rows(), problem.n);
    ASSERT_EQ(rows->groups(), groups);
    ASSERT_EQ(rows->dimension(), d);
    Random random(n);
    const std::vector<float> w = normal_numbers(groups * d, random);
    const Buffer weights = filled(w);
    std::vector<double> sizes;
    const std::vector<double> z_exact = problem.forward(w, sizes);
    const auto expect_predictions = [&](const std::vector<float>& z) {
      for (std::size_t i = 0; i < z.size(); ++i) EXPECT_WITHIN(z[i], z_exact[i], problem.z_bound() * sizes[i]) << i;
    };
    const auto expect_gradient = [&](const std::vector<float>& g, const std::vector<float>& r) {
      std::vector<double> g_sizes;
      const std::vector<double> g_exact = problem.adjoint(r, g_sizes);
      for (std::size_t k = 0; k < g.size(); ++k) EXPECT_WITHIN(g[k], g_exact[k], problem.g_bound() * g_sizes[k]) << k;
    };

    Buffer z = blank(problem.n);
    backend->gated_pass(*rows, {.w = &weights, .z = &z});
    expect_predictions(numbers(z));

    const std::vector<float> r_given = normal_numbers(problem.n, random);
    Buffer r = filled(r_given);
    Buffer gradient = blank(groups * d);
    backend->gated_pass(*rows, {.r = &r, .gradient = &gradient});
    expect_gradient(numbers(gradient), r_given);
    EXPECT_EQ(numbers(r), r_given);

    // Both at once; r is judged in the next test, the gradient by the r that is returned.
    const LossRows loss_rows(problem.n);
    const Buffer labels = filled(loss_rows.labels);
    const Buffer row_weights = filled(loss_rows.weights);
    Buffer z_fused = blank(problem.n);
    backend->gated_pass(*rows, {.w = &weights,
                                .z = &z_fused,
                                .r = &r,
                                .gradient = &gradient,
                                .loss = {&logistic_loss(), &labels, &row_weights, nullptr}});
    EXPECT_EQ(numbers(z_fused), numbers(z));
    const std::vector<float> r_made = numbers(r);
    const std::vector<float> g_made = numbers(gradient);
    expect_gradient(g_made, r_made);

    // The same bits again, with what is not wanted left out.
    Buffer again = blank(groups * d);
    backend->gated_pass(
        *rows, {.w = &weights, .gradient = &again, .loss = {&logistic_loss(), &labels, &row_weights, nullptr}});
    EXPECT_EQ(numbers(again), g_made);
    EXPECT_EQ(rows->passes(), 4u);
    if (HasFailure()) return;
  }
}

TEST_P(BackendTest, MoreRowsThanAKernelMaySeeAtOnce) {
  constexpr std::size_t kRows = 36'000;  // 147 MB; llvmpipe shows kernels 134 MB, and Vulkan asks for no more
  constexpr std::size_t kColumns = 1024;
  const auto entry = [](std::size_t i, std::size_t j) { return static_cast<float>((31 * i + j) % 17) - 8; };
  Matrix<float> x(kRows, kColumns);
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t j = 0; j < kColumns; ++j) x(i, j) = entry(i, j);
  }
  GatedData data;
  data.segments.push_back({StoredRows(std::as_const(x).view()), {}, Matrix<std::uint8_t>(kRows, 1), {}});
  std::ranges::fill(data.segments.front().plus_open.values(), std::uint8_t{1});
  const auto rows = backend->load_rows(std::move(data));
  const Buffer w = filled(std::vector<float>(kColumns, 1.0f));
  Buffer z = blank(kRows);
  backend->gated_pass(*rows, {.w = &w, .z = &z});
  const std::vector<float> predictions = numbers(z);
  Buffer r = filled(std::vector<float>(kRows, 1.0f));
  Buffer gradient = blank(kColumns);
  backend->gated_pass(*rows, {.r = &r, .gradient = &gradient});
  const std::vector<float> sums = numbers(gradient);
  // Sums of small integers are exact in any order.
  for (std::size_t i = 0; i < kRows; ++i) {
    float sum = 0;
    for (std::size_t j = 0; j < kColumns; ++j) sum += entry(i, j);
    ASSERT_EQ(predictions[i], sum) << i;
  }
  for (std::size_t j = 0; j < kColumns; ++j) {
    float sum = 0;
    for (std::size_t i = 0; i < kRows; ++i) sum += entry(i, j);
    ASSERT_EQ(sums[j], sum) << j;
  }
}

TEST_P(BackendTest, LossesAreThoseOfDouble) {
  constexpr std::size_t kRows = 3000;
  const Problem problem = make_problem(Kind::Pointwise, kRows, 24, 3, Dtype::F32, false);
  const auto rows = backend->load_rows(problem.data());
  const LossRows data(kRows);
  const Buffer labels = filled(data.labels);
  const Buffer weights = filled(data.weights);
  const Buffer margins = filled(data.margins);
  Random random(2);
  for (const Loss form : {Loss::Squared, Loss::Logistic}) {
    for (const bool with_margins : {false, true}) {
      if (form == Loss::Squared && with_margins) continue;
      for (const double size : {1e-6, 0.1, 1.0, 30.0, 1e4}) {
        for (const double bias : {0.0, -1.5}) {
          SCOPED_TRACE(::testing::Message() << loss_name(form) << " size " << size << " bias " << bias);
          const Buffer w = filled(normal_numbers(3 * 24, random, size));
          Buffer z = blank(kRows);
          Buffer r = blank(kRows);
          Buffer gradient = blank(3 * 24);
          backend->gated_pass(*rows,
                              {.w = &w,
                               .z = &z,
                               .r = &r,
                               .gradient = &gradient,
                               .loss = {&loss_function(form), &labels, &weights, with_margins ? &margins : nullptr},
                               .bias = bias});
          const PassSums sums = backend->sums().pass;
          const std::vector<float> z_made = numbers(z);
          const std::vector<float> r_made = numbers(r);
          AtRow total;
          double slopes = 0;  // without signs
          for (std::size_t i = 0; i < kRows; ++i) {
            const AtRow at = at_row(form, z_made[i], bias, data.labels[i], data.weights[i],
                                    with_margins ? static_cast<double>(data.margins[i]) : 0.0);
            EXPECT_WITHIN(r_made[i], at.slope, at.slope_bound) << i << " z " << z_made[i];
            total.loss += at.loss;
            total.slope += at.slope;
            total.loss_bound += at.loss_bound;
            total.slope_bound += at.slope_bound;
            slopes += std::abs(at.slope);
          }
          // The sums themselves lose next to nothing.
          EXPECT_WITHIN(sums.loss, total.loss, total.loss_bound + 0x1p-40 * total.loss);
          EXPECT_WITHIN(sums.ahead_slope, total.slope, total.slope_bound + 0x1p-40 * slopes);
          EXPECT_EQ(sums.ahead_loss, sums.loss);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(BackendTest, ManyEqualLossesAddUpWithoutLoss) {
  const Buffer w = filled(std::vector<float>(2, 0.0f));
  Buffer gradient = blank(2);
  const auto sums_of = [&](std::size_t count) {
    const Problem problem = make_problem(Kind::Pointwise, count, 2, 1, Dtype::F32, false);
    const auto rows = backend->load_rows(problem.data());
    const Buffer ones = filled(std::vector<float>(count, 1.0f));
    backend->gated_pass(*rows, {.w = &w, .gradient = &gradient, .loss = {&logistic_loss(), &ones, &ones, nullptr}});
    return backend->sums().pass;
  };
  constexpr std::size_t kRows = 200'000;  // one by one in single precision they would be off by 2^-9
  const double one = sums_of(1).loss;
  EXPECT_WITHIN(one, std::log(2.0), 16 * kUnit);
  const PassSums sums = sums_of(kRows);
  EXPECT_WITHIN(sums.loss, kRows * one, 0x1p-38 * kRows);
  EXPECT_DOUBLE_EQ(sums.ahead_slope, -0.5 * kRows);
}

TEST_P(BackendTest, ProximalStepsAreOptimal) {
  Random random(4);
  for (const auto& [groups, d] : {std::pair<std::size_t, std::size_t>{1, 1}, {3, 5}, {11, 200}, {2, 1500}}) {
    for (const double threshold : {0.0, 0.5, 5.0, 1e4}) {
      for (const double momentum : {0.0, 0.7}) {
        SCOPED_TRACE(::testing::Message() << groups << " x " << d << " threshold " << threshold);
        const std::vector<float> y = normal_numbers(groups * d, random);
        const std::vector<float> g = normal_numbers(groups * d, random, 2);
        const std::vector<float> last = normal_numbers(groups * d, random);
        std::vector<float> metric(d);
        for (std::size_t j = 0; j < d; ++j) metric[j] = static_cast<float>(std::pow(1e-5, random.uniform()));
        std::vector<double> thresholds(groups, threshold);
        thresholds.back() *= 0.5;
        const double curvature = 3.7;
        const Buffer y_there = filled(y);
        const Buffer g_there = filled(g);
        const Buffer last_there = filled(last);
        const Buffer metric_there = filled(metric);
        Buffer next = blank(groups * d);
        Buffer ahead = blank(groups * d);
        backend->proximal_step({.y = &y_there,
                                .gradient = &g_there,
                                .last = &last_there,
                                .metric = &metric_there,
                                .next = &next,
                                .ahead = &ahead,
                                .thresholds = thresholds,
                                .curvature = curvature,
                                .momentum = momentum,
                                .uphill = 0.25,
                                .square = 0.5});
        const StepSums sums = backend->sums().step;
        const std::vector<float> made = numbers(next);
        const std::vector<float> made_ahead = numbers(ahead);
        double uphill = 0.25, square = 0.5, size = 0, uphill_size = 0.25;
        for (std::size_t p = 0; p < groups; ++p) {
          // The pull q = M y - g is met by the norm: q - M w = t w / ||w||, or is within t.
          double pull = 0, norm = 0;
          for (std::size_t j = 0; j < d; ++j) {
            const std::size_t k = p * d + j;
            const double m = curvature * static_cast<double>(metric[j]);
            pull += std::pow(m * static_cast<double>(y[k]) - static_cast<double>(g[k]), 2);
            norm += static_cast<double>(made[k]) * static_cast<double>(made[k]);
            const double move = static_cast<double>(made[k]) - static_cast<double>(y[k]);
            const double term =
                static_cast<double>(metric[j]) * move * (static_cast<double>(made[k]) - static_cast<double>(last[k]));
            uphill -= term;
            uphill_size += std::abs(term);
            square += static_cast<double>(metric[j]) * move * move;
            size += static_cast<double>(metric[j]) * static_cast<double>(y[k]) * static_cast<double>(y[k]);
          }
          pull = std::sqrt(pull);
          norm = std::sqrt(norm);
          const double t = thresholds[p];
          EXPECT_TRUE(norm == 0 || pull >= t * (1 - 16 * kUnit)) << p;
          EXPECT_TRUE(norm > 0 || pull <= t * (1 + 16 * kUnit)) << p;
          for (std::size_t j = 0; norm > 0 && j < d; ++j) {
            const std::size_t k = p * d + j;
            const double m = curvature * static_cast<double>(metric[j]);
            const double met = m * static_cast<double>(made[k]) + t * static_cast<double>(made[k]) / norm;
            const double q = m * static_cast<double>(y[k]) - static_cast<double>(g[k]);
            // The root is found to a few units, and its norm makes it more: pull / (pull - t).
            const double parts = std::abs(m * static_cast<double>(y[k])) + std::abs(static_cast<double>(g[k]));
            EXPECT_WITHIN(met, q, 32 * kUnit * (parts + std::abs(q) * pull / std::max(pull - t, kUnit * pull)))
                << p << " " << j;
          }
        }
        EXPECT_WITHIN(sums.uphill, uphill, 8 * kUnit * uphill_size);
        EXPECT_WITHIN(sums.square, square, 8 * kUnit * square);
        EXPECT_WITHIN(sums.size, size, 8 * kUnit * size);
        EXPECT_NEAR(sums.factor, sums.uphill > 0 ? 0 : momentum, kUnit);
        for (std::size_t k = 0; k < made.size(); ++k) {
          const double move = static_cast<double>(made[k]) - static_cast<double>(last[k]);
          EXPECT_WITHIN(made_ahead[k], made[k] + sums.factor * move, 4 * kUnit * (std::abs(made[k]) + std::abs(move)));
        }
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(BackendTest, AnAcceleratedPassLooksAhead) {
  for (const Kind kind : {Kind::Pointwise, Kind::Pairs}) {
    const Problem problem = make_problem(kind, 700, 19, 4, Dtype::F32, kind == Kind::Pairs);
    const auto rows = backend->load_rows(problem.data());
    const std::size_t n = problem.n;
    const std::size_t weights = problem.groups * problem.d;
    Random random(8);
    // A step whose momentum does not point uphill: nothing moves, and last is where y is.
    const Buffer zero = filled(std::vector<float>(weights, 0.0f));
    const Buffer ones = filled(std::vector<float>(problem.d, 1.0f));
    Buffer next = blank(weights);
    Buffer weights_ahead = blank(weights);
    const std::vector<double> thresholds(problem.groups, 1.0);
    backend->proximal_step({.y = &zero,
                            .gradient = &zero,
                            .last = &zero,
                            .metric = &ones,
                            .next = &next,
                            .ahead = &weights_ahead,
                            .thresholds = thresholds,
                            .momentum = 0.625});

    const LossRows data(n);
    const Buffer labels = filled(data.labels);
    const Buffer row_weights = filled(data.weights);
    const Buffer margins = filled(data.margins);
    const std::vector<float> y = normal_numbers(n, random);
    const std::vector<float> y_r = normal_numbers(n, random);
    const std::vector<float> last = normal_numbers(n, random);
    const Buffer y_there = filled(y);
    const Buffer y_r_there = filled(y_r);
    const Buffer last_there = filled(last);
    const Buffer w = filled(normal_numbers(weights, random));
    Buffer z = blank(n);
    Buffer z_ahead = blank(n);
    Buffer r = blank(n);
    Buffer gradient = blank(weights);
    const PassAhead ahead{&y_there, &y_r_there, &last_there, &z_ahead, 0.125, -0.375};
    const double bias = 0.3;
    backend->gated_pass(*rows, {.w = &w,
                                .z = &z,
                                .r = &r,
                                .gradient = &gradient,
                                .loss = {&logistic_loss(), &labels, &row_weights, &margins},
                                .bias = bias,
                                .ahead = &ahead});
    const auto [step, sums] = backend->sums();
    EXPECT_EQ(step.factor, 0.625);
    const std::vector<float> z_made = numbers(z);
    const std::vector<float> ahead_made = numbers(z_ahead);
    const std::vector<float> r_made = numbers(r);
    AtRow here, there;
    double rise = 0, absolute = 0, largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double exact = z_made[i] + 0.625 * (static_cast<double>(z_made[i]) - static_cast<double>(last[i]));
      EXPECT_WITHIN(ahead_made[i], exact, 4 * kUnit * (std::abs(z_made[i]) + std::abs(last[i])));
      const auto at = [&](double prediction, double with, AtRow& sum) {
        const AtRow row = at_row(Loss::Logistic, prediction, with, data.labels[i], data.weights[i], data.margins[i]);
        sum.loss += row.loss;
        sum.slope += row.slope;
        sum.loss_bound += row.loss_bound;
        sum.slope_bound += row.slope_bound;
        return row;
      };
      at(z_made[i], bias, here);
      const AtRow row = at(ahead_made[i], bias + 0.625 * -0.375, there);
      EXPECT_WITHIN(r_made[i], row.slope, row.slope_bound);
      const double term =
          static_cast<double>(y_r[i]) * (static_cast<double>(z_made[i]) - static_cast<double>(y[i]) + 0.125);
      rise += term;
      absolute += std::abs(term);
      largest = std::max({largest, std::abs(static_cast<double>(y[i])), std::abs(static_cast<double>(z_made[i]))});
    }
    EXPECT_WITHIN(sums.loss, here.loss, here.loss_bound);
    EXPECT_WITHIN(sums.ahead_loss, there.loss, there.loss_bound);
    EXPECT_WITHIN(sums.ahead_slope, there.slope, there.slope_bound);
    EXPECT_WITHIN(sums.rise, rise, 4 * kUnit * (absolute + 0.125 * static_cast<double>(n)));
    EXPECT_WITHIN(sums.absolute, absolute, 4 * kUnit * (absolute + 0.125 * static_cast<double>(n)));
    EXPECT_EQ(sums.largest, largest);
    std::vector<double> sizes;
    const std::vector<double> g_exact = problem.adjoint(r_made, sizes);
    const std::vector<float> g = numbers(gradient);
    for (std::size_t k = 0; k < g.size(); ++k) EXPECT_WITHIN(g[k], g_exact[k], problem.g_bound() * sizes[k]) << k;
  }
}

TEST_P(BackendTest, ProductsStayWithinRounding) {
  Random random(6);
  for (const auto& [m, n, k] :
       {std::array<std::size_t, 3>{1, 1, 1}, {3, 5, 257}, {8, 32, 32}, {13, 100, 65}, {64, 33, 9}}) {
    for (const bool transposed : {false, true}) {
      for (const auto& [alpha, beta] : {std::pair(1.0f, 0.0f), {-1.0f, 1.0f}, {0.5f, 2.0f}}) {
        const std::vector<float> a = normal_numbers(m * k, random);
        const std::vector<float> b = normal_numbers(k * n, random);
        const std::vector<float> before =
            beta != 0 ? normal_numbers(m * n, random) : std::vector<float>(m * n, std::nanf(""));
        const Buffer a_there = filled(a);
        const Buffer b_there = filled(b);
        Buffer c = filled(before);
        backend->product({&a_there, &b_there, &c, m, n, k, transposed, alpha, beta});
        const std::vector<float> made = numbers(c);
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            double sum = 0, size = 0;
            for (std::size_t t = 0; t < k; ++t) {
              const double term =
                  static_cast<double>(a[i * k + t]) * static_cast<double>(b[transposed ? j * k + t : t * n + j]);
              sum += alpha * term;
              size += std::abs(alpha * term);
            }
            const double own = beta != 0 ? static_cast<double>(beta * before[i * n + j]) : 0.0;
            EXPECT_WITHIN(made[i * n + j], sum + own, rounding_bound(k + 3) * (size + std::abs(own)));
          }
        }
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(BackendTest, InnerProductsAreSummedLikeDouble) {
  Random random(7);
  for (const auto& [rows, length] : {std::pair<std::size_t, std::size_t>{1, 1}, {5, 127}, {3, 5000}}) {
    const std::vector<float> a = normal_numbers(rows * length, random);
    const std::vector<float> b = normal_numbers(rows * length, random);
    const std::vector<double> made = backend->dots(filled(a), filled(b), rows);
    ASSERT_EQ(made.size(), rows);
    for (std::size_t i = 0; i < rows; ++i) {
      double sum = 0, size = 0;
      for (std::size_t j = i * length; j < (i + 1) * length; ++j) {
        sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
        size += std::abs(static_cast<double>(a[j]) * static_cast<double>(b[j]));
      }
      EXPECT_WITHIN(made[i], sum, 1.01 * kUnit * size);  // the products are rounded, the sums are not
    }
  }
}

TEST_P(BackendTest, LoadedFeaturesServeRowsOfAnyPattern) {
  for (const Kind kind : {Kind::Pointwise, Kind::Pairs, Kind::TwoSegments}) {
    for (const Dtype dtype : {Dtype::F32, Dtype::F16}) {
      for (const bool transformed : {false, true}) {
        SCOPED_TRACE(::testing::Message() << static_cast<int>(kind) << " " << dtype_name(dtype) << " " << transformed);
        const Problem problem = make_problem(kind, 300, 37, 5, dtype, transformed);
        const GatedData all = problem.data();
        GatedData features = all;
        for (GatedData::Segment& segment : features.segments) segment.plus_open = segment.minus_open = {};
        const auto loaded = backend->load_features(features);
        EXPECT_EQ(loaded == nullptr, backend->on_host());
        // Some rows, not in their order, with gates that no other rows have.
        GatedData some = all;
        std::size_t n = 0;
        for (GatedData::Segment& segment : some.segments) {
          std::vector<std::size_t> taken;
          for (std::size_t i = segment.plus.rows(); i-- > 0;) {
            if (i % 3 != 1) taken.push_back(i);
          }
          n += taken.size();
          segment.plus = segment.plus.subset(taken);
          if (segment.minus.rows() > 0) segment.minus = segment.minus.subset(taken);
          for (Matrix<std::uint8_t>* open : {&segment.plus_open, &segment.minus_open}) {
            if (open->rows() == 0) continue;
            *open = Matrix<std::uint8_t>(taken.size(), 5);
            for (std::size_t k = 0; k < open->values().size(); ++k) open->values()[k] = k % 7 < 4 ? 1 : 0;
          }
        }
        const auto apart = backend->load_rows(some);
        const std::uint64_t before = backend->traffic().to_device;
        some.loaded = loaded;
        const auto shared = backend->load_rows(some);
        // Places, gates and the transform: no features.
        EXPECT_LE(backend->traffic().to_device - before, 4 * n * (1 + problem.sides()) + 2 * 37 * 4);
        Random random(8);
        const Buffer w = filled(normal_numbers(5 * 37, random));
        const LossRows rows(n);
        const Buffer labels = filled(rows.labels);
        const Buffer weights = filled(rows.weights);
        std::vector<std::vector<float>> made;
        for (PassRows* const of : {apart.get(), shared.get()}) {
          Buffer z = blank(n);
          Buffer gradient = blank(5 * 37);
          backend->gated_pass(
              *of, {.w = &w, .z = &z, .gradient = &gradient, .loss = {&logistic_loss(), &labels, &weights, nullptr}});
          made.push_back(numbers(z));
          made.push_back(numbers(gradient));
        }
        EXPECT_EQ(made[0], made[2]);
        EXPECT_EQ(made[1], made[3]);
      }
    }
  }
}

TEST_P(BackendTest, RowsThatAreNotAmongTheLoadedFeaturesAreRefused) {
  if (backend->on_host()) return;
  const Problem there = make_problem(Kind::Pointwise, 20, 4, 2, Dtype::F32, false);
  const Problem other = make_problem(Kind::Pointwise, 20, 4, 2, Dtype::F32, false);
  GatedData data = other.data();
  data.loaded = backend->load_features(there.data());
  EXPECT_EQ(test::error_code_of([&] { backend->load_rows(data); }), ErrorCode::Internal);
}

TEST_P(BackendTest, FreeMemoryIsThatOfTheDevice) {
  const std::uint64_t free = backend->free_bytes();
  EXPECT_GT(free, 0u);
  if (backend->on_host()) return;
  EXPECT_LT(free, std::uint64_t{1} << 44);  // 16 TiB: nobody has as much
}

TEST_P(BackendTest, XIsReadOnceAPass) {
  for (const Kind kind : {Kind::Pointwise, Kind::Pairs}) {
    for (const bool transformed : {false, true}) {
      const Problem problem = make_problem(kind, 2000, 63, 10, Dtype::F32, transformed);
      const auto rows = backend->load_rows(problem.data());
      const LossRows data(problem.n);
      const Buffer labels = filled(data.labels);
      const Buffer weights = filled(data.weights);
      const Buffer w = filled(std::vector<float>(problem.groups * problem.d, 0.01f));
      Buffer z = blank(problem.n);
      Buffer r = blank(problem.n);
      Buffer gradient = blank(problem.groups * problem.d);
      const Traffic before = backend->traffic();
      backend->gated_pass(
          *rows,
          {.w = &w, .z = &z, .r = &r, .gradient = &gradient, .loss = {&logistic_loss(), &labels, &weights, nullptr}});
      const Traffic& after = backend->traffic();
      EXPECT_EQ(rows->bytes(), 2000 * 63 * 4 * problem.sides());
      // A device fills rows up to pairs of columns, or puts the ones there.
      EXPECT_EQ(after.x_bytes - before.x_bytes, 2000 * (backend->on_host() ? 63 : 64) * 4 * problem.sides());
      EXPECT_EQ(after.launches - before.launches, backend->on_host() ? 1u : transformed ? 3u : 2u);
      EXPECT_EQ(after.waits, before.waits);
      EXPECT_EQ(after.to_device, before.to_device);
      EXPECT_EQ(after.to_host, before.to_host);
    }
  }
}

TEST_P(BackendTest, WhatIsNotThereIsRefused) {
  struct Absolute : RowLoss {
    LossSums sums(const TargetRows&, const float*, double, float*) const noexcept override { return {}; }
  };
  const auto refused = [](const std::function<void()>& call, ErrorCode code) {
    try {
      call();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_FALSE(error.hint().empty()) << error.what();
    }
  };
  for (const char* name : {"gpu", "vulkan:999", "vulkan:x", "vulkan:", ""}) {
    const bool vulkan = std::string(name).starts_with("vulkan");
    const bool built = built_backends().size() > 1;
    refused([&] { open_backend(name, pool); }, vulkan && !built ? ErrorCode::NotBuilt : ErrorCode::BadUsage);
  }
  if (backend->on_host()) return;
  const Problem problem = make_problem(Kind::Pointwise, 10, 4, 2, Dtype::F32, false);
  const auto rows = backend->load_rows(problem.data());
  const Buffer of_rows = blank(10);
  const Buffer w = blank(8);
  Buffer gradient = blank(8);
  const Absolute loss;
  refused(
      [&] {
        backend->gated_pass(*rows, {.w = &w, .gradient = &gradient, .loss = {&loss, &of_rows, &of_rows}});
      },
      ErrorCode::BadUsage);
  const Matrix<double> doubles(10, 4);
  GatedData wide = problem.data();
  wide.segments.front().plus = StoredRows(doubles.view());
  refused([&] { backend->load_rows(std::move(wide)); }, ErrorCode::BadUsage);
}

INSTANTIATE_TEST_SUITE_P(All, BackendTest, ::testing::ValuesIn(built_backends()), name_of);

#ifdef COALA_VULKAN
/// What a device has too little of is refused by numbers, before a kernel meets it.
class VulkanLimits : public ::testing::Test {
 protected:
  void SetUp() override {
    if (vulkan_devices().empty()) GTEST_SKIP() << "no such device is here";
    device = std::make_unique<VulkanDevice>(0, traffic);
  }

  static void expect_refused(const std::function<void()>& call, const std::vector<std::string>& parts) {
    try {
      call();
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadUsage) << error.what();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << ", expected " << part;
      }
    }
  }

  Traffic traffic;
  std::unique_ptr<VulkanDevice> device;
};

TEST_F(VulkanLimits, ADeviceThatIsNotThereIsAnsweredWithThoseThatAre) {
  expect_refused([&] { VulkanDevice(999, traffic); }, {"vulkan:999", "vulkan:0 (" + device->description() + ")"});
}

TEST_F(VulkanLimits, AVectorIsSeenWhole) {
  const std::uint64_t most = device->limits().maxStorageBufferRange;
  expect_refused([&] { device->allocate(most + 1); }, {std::to_string(most + 1), std::to_string(most)});
}

TEST_F(VulkanLimits, WeightsHaveWorkgroups) {
  constexpr std::size_t kGroups = 1024;
  const std::size_t most = device->limits().maxComputeWorkGroupCount[0];
  if (most > 1u << 17) GTEST_SKIP() << device->description() << " has more workgroups than weights fill here";
  const std::size_t columns = (most - 1) * 128 / kGroups;
  const Problem largest = make_problem(Kind::Pointwise, 1, columns, kGroups, Dtype::F32, false);
  EXPECT_NO_THROW(VulkanRows(largest.data(), *device));
  const Problem larger = make_problem(Kind::Pointwise, 1, columns + 1, kGroups, Dtype::F32, false);
  const std::size_t needed = (kGroups * (columns + 1) + 127) / 128 + 1;
  expect_refused([&] { VulkanRows(larger.data(), *device); }, {std::to_string(needed), std::to_string(most)});
}

TEST(VulkanPieces, KeepFeaturesAndGatesInSight) {
  constexpr std::uint32_t kRange = 1u << 20;
  EXPECT_EQ(rows_in_sight(2 * 10, kRange), kRange / (2 * 10 * 4));
  EXPECT_EQ(rows_in_sight(kRange, kRange), 1u);  // what is too long for itself is refused where it is allocated
}
#endif

/// The gated solver, whole, on a backend, judged by the certificate in double.
class BackendSolverTest : public BackendTest {};

TEST_P(BackendSolverTest, ReachesTheOptimumOfEveryLoss) {
  for (const Loss loss : kLosses) {
    for (const std::size_t d : {12, 600}) {  // the metric of many columns is a product of reflections
      if (d > kWholeDimensions && loss != Loss::BradleyTerry) continue;
      const bool bias = loss != Loss::BradleyTerry;
      test::Plain plain = test::random_problem(loss, 400, d, 6, 17);
      Random random(3);
      for (float& weight : plain.targets.weights) weight = static_cast<float>(0.2 + 2 * random.uniform());
      GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
      const GatedMetric metric = d <= kWholeDimensions
                                     ? test::metric_for(plain, pool)
                                     : gated_metric(sampled_moments(plain.rows(), plain.targets.weights, 40, pool));
      const std::vector<double> group_weights{0.5, 1, 1, 2, 1, 1};
      constexpr double kTolerance = 1e-5;
      GatedSettings settings{bias, 20000, group_weights, backend.get()};
      GatedSolver solver(f, plain.targets, metric, settings);
      settings.backend = nullptr;
      GatedSolver on_cpu(f, plain.targets, metric, settings);
      const double largest = on_cpu.beta_max();
      EXPECT_NEAR(solver.beta_max(), largest, 1e-5 * largest);
      for (const double ratio : {0.5, 0.05}) {
        SCOPED_TRACE(::testing::Message() << loss_name(loss) << " d " << d << " ratio " << ratio);
        const double beta = ratio * largest;
        const SolveInfo info = solver.solve(beta, kTolerance);
        EXPECT_EQ(info.status, SolveStatus::Solved);
        const Certificate certificate =
            certify_gated(plain.rows(), plain.targets, plain.gates.view(), solver.weights().w.view(),
                          solver.weights().bias, bias, beta, group_weights);
        EXPECT_LE(certificate.relative_gap, 2 * kTolerance);
        EXPECT_GE(certificate.relative_gap, -1e-12);
        EXPECT_NEAR(info.objective, certificate.objective, 1e-5 * certificate.objective);
        // The CPU goes on from there, and has nothing to do.
        on_cpu.start_from(solver.weights().w, solver.curvature());
        EXPECT_LE(on_cpu.solve(beta, 2 * kTolerance).iterations, 1);
        const std::vector<float>& z = solver.weights().z;
        for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(z[i], on_cpu.weights().z[i], 1e-3) << i;
      }
    }
  }
}

TEST_P(BackendSolverTest, AnIterationReadsXOnceAndAnswersWithAFewSums) {
  const test::Plain plain = test::random_problem(Loss::Logistic, 3000, 40, 10, 5);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric metric = test::metric_for(plain, pool);
  const auto work_of = [&](int iterations) {
    GatedSolver solver(f, plain.targets, metric,
                       {.bias = true, .max_iterations = iterations, .backend = backend.get()});
    const double beta = 0.01 * solver.beta_max();
    solver.solve(beta, 0);  // power iterations, and the first gap
    const Traffic before = backend->traffic();
    const SolveInfo info = solver.solve(beta, 0);
    EXPECT_EQ(info.iterations, iterations);
    EXPECT_EQ(backend->traffic().x_bytes - before.x_bytes, info.passes_over_x * 3000 * 40 * 4);
    return std::pair(before, info);
  };
  if (backend->on_host()) {
    work_of(3);
    return;
  }
  // Two solves that differ by iterations without a check between them: the second check is at the eighth.
  const auto [before_four, four] = work_of(5);
  const Traffic after_four = backend->traffic();
  const auto [before_six, six] = work_of(6);
  const Traffic after_six = backend->traffic();
  const auto more = [&](std::uint64_t Traffic::*member) {
    return (after_six.*member - before_six.*member) - (after_four.*member - before_four.*member);
  };
  const std::uint64_t steps = six.passes_over_x - four.passes_over_x;  // a step that was too long is one more
  EXPECT_GE(steps, 1u);
  EXPECT_EQ(more(&Traffic::launches), 6 * steps);  // group steps and their sums, to X's basis, pass and its sums, back
  EXPECT_EQ(more(&Traffic::waits), steps);
  EXPECT_EQ(more(&Traffic::x_bytes), steps * 3000 * 40 * 4);
  EXPECT_EQ(more(&Traffic::to_device), steps * 10 * 4);  // thresholds
  EXPECT_EQ(more(&Traffic::to_host), steps * 18 * 4);    // the sums
}

INSTANTIATE_TEST_SUITE_P(All, BackendSolverTest, ::testing::ValuesIn(built_backends()), name_of);

}  // namespace
}  // namespace coala
