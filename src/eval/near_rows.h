#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/stored_rows.h"

namespace coala {

/// Finds rows close to a given one by locality-sensitive hashing: a row has a signature of 128 bits, each the side of a
/// random plane through the mean over a few columns. Rows that share sixteen of them in place are candidates; those
/// whose other bits agree as well are measured.
class NearRows {
 public:
  /// @param sides  of as many rows each; they are shared, not copied
  explicit NearRows(std::vector<StoredRows> sides);

  /// Of each row: whether some row of the sides is within 2 % of its distance from the mean.
  std::vector<bool> near(const StoredRows& rows) const;

 private:
  static constexpr std::size_t kTables = 8;
  static constexpr std::size_t kBits = 16;     ///< of the key of a table
  static constexpr std::size_t kColumns = 16;  ///< of a plane
  struct Entry {
    std::size_t column;
    float sign;
  };
  using Signature = std::array<std::uint16_t, kTables>;
  struct Place {
    std::uint32_t row;
    std::uint32_t next_bits;  ///< the keys of the two tables that follow: most candidates are told from these alone
  };
  /// Rows by their key: those of key k are places[starts[k], starts[k + 1]).
  struct Table {
    std::vector<std::uint32_t> starts;
    std::vector<Place> places;
  };

  static std::uint32_t next_bits(const Signature& signature, std::size_t table) {
    return static_cast<std::uint32_t>(signature[(table + 1) % kTables]) << kBits | signature[(table + 2) % kTables];
  }

  void sign(const StoredRows& rows, std::vector<Signature>& signatures) const;
  bool has_near(std::span<const float> row, const Signature& signature, std::vector<float>& other) const;

  std::vector<StoredRows> sides_;
  std::vector<double> mean_;
  std::array<std::array<std::array<Entry, kColumns>, kBits>, kTables> planes_;
  std::vector<Signature> signatures_;  ///< of all sides, one after the other
  std::array<Table, kTables> tables_;
};

}  // namespace coala
