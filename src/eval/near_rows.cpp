#include "eval/near_rows.h"

#include <algorithm>
#include <bit>

#include "core/random.h"
#include "core/vectorise.h"

namespace coala {
namespace {

constexpr double kNear = 0.02;  ///< distance of near rows, as a share of the distance from the mean
/// Rows of one key that are looked at, so that many equal rows do not make the search quadratic.
constexpr std::size_t kMostCandidates = 16;
/// Of 128 bits. Near rows differ in one or two, as the angle between them is a fiftieth; unrelated ones in 64.
constexpr int kMostOtherBits = 24;
constexpr int kMostNextBits = 10;   ///< of 32; unrelated ones differ in 16
constexpr std::size_t kLanes = 16;  ///< rows whose sums are made together
constexpr std::size_t kKeys = std::size_t{1} << 16;

double square(double x) {
  return x * x;
}

/// to[lane] += sign from[lane]
COALA_WIDEST_LANES void add_signed(const float* from, float sign, float* to) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) to[lane] += sign * from[lane];
}

}  // namespace

NearRows::NearRows(std::vector<StoredRows> sides) : sides_(std::move(sides)), mean_(sides_.front().cols()) {
  const std::size_t d = mean_.size();
  const std::size_t rows = sides_.front().rows();
  std::vector<float> row(d);
  for (const StoredRows& side : sides_) {
    for (std::size_t i = 0; i < rows; ++i) {
      side.read(i, 0, std::span<float>(row));
      for (std::size_t j = 0; j < d; ++j) mean_[j] += row[j];
    }
  }
  for (double& value : mean_) value /= static_cast<double>(rows * sides_.size());
  Random random(0);
  for (auto& table : planes_) {
    for (auto& plane : table) {
      for (Entry& entry : plane) entry = {random.below(d), random.below(2) == 0 ? 1.0f : -1.0f};
    }
  }
  for (const StoredRows& side : sides_) sign(side, signatures_);
  for (std::size_t t = 0; t < kTables; ++t) {
    Table& table = tables_[t];
    table.starts.assign(kKeys + 1, 0);
    for (const Signature& signature : signatures_) ++table.starts[signature[t] + std::size_t{1}];
    for (std::size_t key = 0; key < kKeys; ++key) table.starts[key + 1] += table.starts[key];
    table.places.resize(signatures_.size());
    std::vector<std::uint32_t> next(table.starts.begin(), table.starts.end() - 1);
    for (std::size_t i = 0; i < signatures_.size(); ++i) {
      table.places[next[signatures_[i][t]]++] = {static_cast<std::uint32_t>(i), next_bits(signatures_[i], t)};
    }
  }
}

void NearRows::sign(const StoredRows& rows, std::vector<Signature>& signatures) const {
  const std::size_t d = mean_.size();
  std::vector<float> row(d);
  std::vector<float> lanes(d * kLanes);  // [d, kLanes], so that a column's numbers lie together
  for (std::size_t at = 0; at < rows.rows(); at += kLanes) {
    const std::size_t count = std::min(kLanes, rows.rows() - at);
    for (std::size_t lane = 0; lane < count; ++lane) {
      rows.read(at + lane, 0, std::span<float>(row));
      for (std::size_t j = 0; j < d; ++j) {
        lanes[j * kLanes + lane] = static_cast<float>(static_cast<double>(row[j]) - mean_[j]);
      }
    }
    std::array<Signature, kLanes> own{};
    for (std::size_t t = 0; t < kTables; ++t) {
      for (const auto& plane : planes_[t]) {
        std::array<float, kLanes> sums{};
        for (const Entry& entry : plane) add_signed(&lanes[entry.column * kLanes], entry.sign, sums.data());
        for (std::size_t lane = 0; lane < count; ++lane) {
          own[lane][t] = static_cast<std::uint16_t>(2 * own[lane][t] + (sums[lane] > 0 ? 1 : 0));
        }
      }
    }
    signatures.insert(signatures.end(), own.begin(), own.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

bool NearRows::has_near(std::span<const float> row, const Signature& signature, std::vector<float>& other) const {
  double length = 0;
  for (std::size_t j = 0; j < row.size(); ++j) length += square(static_cast<double>(row[j]) - mean_[j]);
  const double most = square(kNear) * length;
  const std::size_t rows = sides_.front().rows();
  for (std::size_t t = 0; t < kTables; ++t) {
    const Table& table = tables_[t];
    const std::size_t first = table.starts[signature[t]];
    const std::size_t last =
        std::min<std::size_t>(table.starts[signature[t] + std::size_t{1}], first + kMostCandidates);
    const std::uint32_t own_bits = next_bits(signature, t);
    for (std::size_t k = first; k < last; ++k) {
      if (std::popcount(own_bits ^ table.places[k].next_bits) > kMostNextBits) continue;
      const std::size_t i = table.places[k].row;
      int different = 0;
      for (std::size_t s = 0; s < kTables; ++s) {
        different += std::popcount(static_cast<unsigned>(signature[s] ^ signatures_[i][s]));
      }
      if (different > kMostOtherBits) continue;
      sides_[i / rows].read(i % rows, 0, std::span<float>(other));
      double distance = 0;
      for (std::size_t j = 0; j < row.size() && distance <= most; ++j) {
        distance += square(static_cast<double>(row[j]) - static_cast<double>(other[j]));
      }
      if (distance <= most) return true;
    }
  }
  return false;
}

std::vector<bool> NearRows::near(const StoredRows& rows) const {
  std::vector<Signature> signatures;
  sign(rows, signatures);
  std::vector<float> row(mean_.size());
  std::vector<float> other(mean_.size());
  std::vector<bool> found(rows.rows());
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    rows.read(i, 0, std::span<float>(row));
    found[i] = has_near(row, signatures[i], other);
  }
  return found;
}

}  // namespace coala
