#include "extract/part_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "features/feature_index.h"

namespace coala {
namespace {

constexpr std::string_view kStore = "store";  ///< in the folder of parts: a feature store that is being made

}  // namespace

OutputLock::OutputLock(const std::filesystem::path& out) : path_(out) {
  path_ += ".lock";
  for (;;) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    struct stat found = {};
    if (descriptor_ >= 0 && (::fstat(descriptor_, &found) != 0 || !S_ISREG(found.st_mode) || found.st_size > 0)) {
      ::close(descriptor_);
      throw Error(ErrorCode::BadUsage, fmt::format("{} is there, and is no lock of ours", path_.string()),
                  "choose another --out");
    }
    if (descriptor_ < 0) {
      throw Error(ErrorCode::Io, fmt::format("cannot create {}: {}", path_.string(), std::strerror(errno)),
                  "check that the folder of the output exists and may be written");
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(descriptor_);
      if (error == EINTR) continue;
      throw Error(error == EWOULDBLOCK ? ErrorCode::BadUsage : ErrorCode::Io,
                  error == EWOULDBLOCK ? fmt::format("another process is writing {}", out.string())
                                       : fmt::format("cannot lock {}: {}", path_.string(), std::strerror(error)),
                  "wait for it to end, or choose another --out");
    }
    // The holder before us removed the name when it ended; a lock on a file without a name protects nothing.
    struct stat held = {};
    struct stat named = {};
    if (::fstat(descriptor_, &held) == 0 && ::stat(path_.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
        held.st_dev == named.st_dev) {
      return;
    }
    ::close(descriptor_);
  }
}

OutputLock::~OutputLock() {
  ::unlink(path_.c_str());
  ::close(descriptor_);
}

std::filesystem::path PartStore::folder(const std::filesystem::path& out) {
  std::filesystem::path folder = out;
  folder += ".parts";
  return folder;
}

void PartStore::create_folder(const std::filesystem::path& out) {
  std::error_code error;
  if (std::filesystem::is_symlink(folder(out), error)) {
    throw Error(ErrorCode::BadInput, fmt::format("{} is a link to somewhere else", folder(out).string()),
                "choose another --out");
  }
  std::filesystem::create_directories(folder(out), error);
  if (!error) return;
  throw Error(ErrorCode::Io, fmt::format("cannot create {}: {}", folder(out).string(), error.message()),
              "check that the folder of the output exists and may be written");
}

void PartStore::remove_folder(const std::filesystem::path& out) {
  std::error_code ignored;  // the output is complete; a folder that stays is only in the way
  std::vector<std::filesystem::path> ours;
  for (auto entry = std::filesystem::directory_iterator(folder(out), ignored);
       !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("part-") || name == kBlocks || name == kStore) ours.push_back(entry->path());
  }
  for (const std::filesystem::path& path : ours) std::filesystem::remove_all(path, ignored);
  std::filesystem::remove(folder(out), ignored);  // unless somebody else has put something there
}

PartStore::PartStore(std::filesystem::path out, std::vector<FeatureColumn> columns, std::vector<FileTensor> constants)
    : out_(std::move(out)),
      columns_(std::move(columns)),
      constants_(std::move(constants)),
      present_(columns_.size(), false) {
  create_folder(out_);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder(out_))) {
    if (entry.path().filename().string().starts_with("part-")) std::filesystem::remove(entry.path(), ignored);
  }
}

void PartStore::write(const FeatureRows& rows) {
  if (rows.rows() == 0) return;
  const std::filesystem::path path = folder(out_) / fmt::format("part-{:05}.safetensors", parts_.size());
  SafetensorsWriter writer(path);
  for (const FeatureColumn& column : columns_) {
    writer.declare(column.name, column.dtype, {rows.rows(), column.width});
  }
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    writer.append(rows.bytes(columns_[c].name));
    if (rows.present(columns_[c].name)) present_[c] = true;
  }
  writer.commit();
  parts_.push_back({path, rows_, rows.rows()});
  rows_ += rows.rows();
}

void PartStore::visit(const FeatureColumn& column, std::uint64_t first, std::uint64_t rows,
                      const Visitor& visitor) const {
  const std::size_t row_bytes = column.width * dtype_bytes(column.dtype);
  for (const Part& part : parts_) {
    const std::uint64_t begin = std::max(first, part.first);
    const std::uint64_t end = std::min(first + rows, part.first + part.rows);
    if (begin >= end) continue;
    const SafetensorsFile file(part.path);
    visitor(file.tensor(column.name).bytes.subspan((begin - part.first) * row_bytes, (end - begin) * row_bytes));
  }
}

std::string PartStore::checksum(std::uint64_t first, std::uint64_t rows) const {
  std::map<std::string, std::function<void(Hasher&)>> by_name;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const FeatureColumn& column = columns_[c];
    if (!present_[c]) continue;
    by_name[column.name] = [this, &column, first, rows](Hasher& hasher) {
      visit(column, first, rows, [&hasher](auto bytes) { hasher.add(bytes.data(), bytes.size()); });
    };
  }
  for (const FileTensor& tensor : constants_) {
    by_name[tensor.name] = [&tensor](Hasher& hasher) { hasher.add(tensor.values.data(), tensor.values.size_bytes()); };
  }
  Hasher hasher;
  for (const auto& [name, add] : by_name) {
    hasher.add(name);
    add(hasher);
  }
  return hasher.hex();
}

std::string PartStore::write_rows(const std::filesystem::path& path, Metadata metadata, std::uint64_t first,
                                  std::uint64_t rows) const {
  SafetensorsWriter writer(path);
  const std::string sum = checksum(first, rows);
  metadata[kDataChecksum] = sum;
  writer.set_metadata(std::move(metadata));
  // Before the rows' narrow types: all of these are multiples of 4 bytes.
  for (const FileTensor& tensor : constants_) writer.declare(tensor.name, Dtype::F32, tensor.shape);
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const FeatureColumn& column = columns_[c];
    if (!present_[c]) continue;
    writer.declare(column.name, column.dtype,
                   column.is_vector ? std::vector<std::size_t>{rows} : std::vector<std::size_t>{rows, column.width});
  }
  for (const FileTensor& tensor : constants_) writer.append(tensor.values);
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (present_[c]) visit(columns_[c], first, rows, [&writer](auto bytes) { writer.append(bytes); });
  }
  writer.commit();
  return sum;
}

void PartStore::write_folder(const Metadata& metadata, std::uint64_t max_file_bytes) const {
  std::uint64_t row_bytes = 0;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (present_[c]) row_bytes += columns_[c].width * dtype_bytes(columns_[c].dtype);
  }
  const std::uint64_t file_rows = std::max<std::uint64_t>(1, max_file_bytes / row_bytes);
  const std::uint64_t count = (rows_ + file_rows - 1) / file_rows;
  FeatureIndex index{metadata, rows_, max_file_bytes, {}};
  // Built where an unfinished output is, so that the finished one appears by one rename.
  const std::filesystem::path made = folder(out_) / kStore;
  std::filesystem::remove_all(made);
  std::filesystem::create_directory(made);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t rows = std::min(file_rows, rows_ - i * file_rows);
    const std::string name = feature_file_name(i, count);
    index.files.push_back({name, rows, write_rows(made / name, metadata, i * file_rows, rows)});
  }
  write_feature_index(made, index);
  std::filesystem::remove_all(out_);  // something that may be replaced, or nothing
  std::filesystem::rename(made, out_);
}

void PartStore::merge(const Metadata& metadata, std::uint64_t max_file_bytes) {
  if (max_file_bytes == 0) {
    if (std::filesystem::is_directory(out_)) std::filesystem::remove_all(out_);  // a store that may be replaced
    write_rows(out_, metadata, 0, rows_);
    return;
  }
  try {
    write_folder(metadata, max_file_bytes);
  } catch (const std::filesystem::filesystem_error& error) {
    throw Error(ErrorCode::Io, fmt::format("cannot make the folder {}: {}", out_.string(), error.code().message()),
                "check that the folder of the output exists and may be written");
  }
}

}  // namespace coala
