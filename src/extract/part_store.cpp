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

namespace coala {
namespace {

/// Temporary files of processes that were killed while they wrote the output; nobody else writes it now.
void remove_leftovers(const std::filesystem::path& out) {
  const std::string prefix = out.filename().string() + ".tmp.";
  const std::filesystem::path folder = out.has_parent_path() ? out.parent_path() : ".";
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().filename().string().starts_with(prefix)) std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace

OutputLock::OutputLock(const std::filesystem::path& out) : path_(out) {
  path_ += ".lock";
  for (;;) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
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
  std::filesystem::create_directories(folder(out), error);
  if (!error) return;
  throw Error(ErrorCode::Io, fmt::format("cannot create {}: {}", folder(out).string(), error.message()),
              "check that the folder of the output exists and may be written");
}

void PartStore::remove_folder(const std::filesystem::path& out) {
  std::error_code ignored;  // the output is complete; a folder that stays is only in the way
  std::filesystem::remove_all(folder(out), ignored);
}

PartStore::PartStore(std::filesystem::path out, std::vector<FeatureColumn> columns)
    : out_(std::move(out)), columns_(std::move(columns)), present_(columns_.size(), false) {
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
  parts_.push_back(path);
  rows_ += rows.rows();
}

std::string PartStore::checksum() const {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (present_[c]) names.push_back(columns_[c].name);
  }
  std::sort(names.begin(), names.end());
  Hasher hasher;
  for (const std::string& name : names) {
    hasher.add(name);
    for (const auto& part : parts_) {
      const SafetensorsFile file(part);
      const auto bytes = file.tensor(name).bytes;
      hasher.add(bytes.data(), bytes.size());
    }
  }
  return hasher.hex();
}

void PartStore::merge(Metadata metadata) {
  remove_leftovers(out_);
  SafetensorsWriter writer(out_);
  metadata[kDataChecksum] = checksum();
  writer.set_metadata(std::move(metadata));
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const FeatureColumn& column = columns_[c];
    if (!present_[c]) continue;
    writer.declare(column.name, column.dtype,
                   column.is_vector ? std::vector<std::size_t>{rows_} : std::vector<std::size_t>{rows_, column.width});
  }
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (!present_[c]) continue;
    for (const auto& part : parts_) writer.append(SafetensorsFile(part).tensor(columns_[c].name).bytes);
  }
  writer.commit();
}

}  // namespace coala
