#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "extract/provenance.h"

namespace coala {

/// A block of a window's plan.
struct BlockId {
  std::uint32_t window = 0, block = 0;
  auto operator<=>(const BlockId&) const = default;
};

/// Keeps the features of finished blocks until their window's rows are put together. Safe to use from many threads.
class BlockStore {
 public:
  virtual ~BlockStore() = default;
  virtual bool contains(BlockId id) const = 0;
  virtual void put(BlockId id, const Matrix<float>& features) = 0;
  /// One response's feature, [d]. @throws Error{Internal} when the block is not there
  virtual void read(BlockId id, std::size_t row, std::span<float> feature) const = 0;
};

class MemoryBlocks : public BlockStore {
 public:
  bool contains(BlockId id) const override;
  void put(BlockId id, const Matrix<float>& features) override;
  void read(BlockId id, std::size_t row, std::span<float> feature) const override;
  void clear() { blocks_.clear(); }

 private:
  mutable std::mutex mutex_;
  std::map<BlockId, Matrix<float>> blocks_;
};

/// A file to which finished blocks are appended, each with a checksum: what a kill leaves of the last one is cut off
/// when the file is opened again, and a damaged one is left out, which means that it is evaluated again.
class BlockLog : public BlockStore {
 public:
  enum class Access { Append, Read };
  /// @param description  what decides the numbers (see describe_features()); kept in the file
  /// @throws Error{Io}; Error{Mismatch} when the file was made from something else, saying what
  BlockLog(std::filesystem::path path, const Metadata& description, std::size_t dimension, Access access);
  ~BlockLog() override;
  BlockLog(const BlockLog&) = delete;
  BlockLog& operator=(const BlockLog&) = delete;

  bool contains(BlockId id) const override;
  void put(BlockId id, const Matrix<float>& features) override;
  void read(BlockId id, std::size_t row, std::span<float> feature) const override;

  /// Marks the log as holding all that it was to hold.
  void finish();
  bool finished() const { return contains(kFinished); }
  const std::filesystem::path& path() const { return path_; }

 private:
  static constexpr BlockId kFinished{0xffffffffu, 0xffffffffu};
  void scan(std::uint64_t size);
  void append(std::span<const std::byte> bytes);
  [[noreturn]] void fail(const char* operation) const;

  std::filesystem::path path_;
  std::size_t dimension_;
  Access access_;
  int descriptor_ = -1;
  mutable std::mutex mutex_;
  std::map<BlockId, std::uint64_t> at_;  ///< offset of a block's numbers
  std::uint64_t header_end_ = 0;
  std::uint64_t end_ = 0;
};

/// One log to write and others to read.
class BlockLogs : public BlockStore {
 public:
  BlockLogs(BlockLog& own, std::vector<std::unique_ptr<BlockLog>> others) : own_(own), others_(std::move(others)) {}
  bool contains(BlockId id) const override { return log_with(id) != nullptr; }
  void put(BlockId id, const Matrix<float>& features) override { own_.put(id, features); }
  void read(BlockId id, std::size_t row, std::span<float> feature) const override;

 private:
  const BlockLog* log_with(BlockId id) const;

  BlockLog& own_;
  std::vector<std::unique_ptr<BlockLog>> others_;
};

}  // namespace coala
