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

constexpr const char* kFirstRow = "part.first_row";
constexpr const char* kPresent = "part.present";  ///< names of the optional columns with values, each after a comma

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

PartStore::PartStore(std::filesystem::path out, const Metadata& description, std::vector<FeatureColumn> columns)
    : out_(std::move(out)),
      folder_(out_),
      fingerprint_(description.at("fingerprint")),
      columns_(std::move(columns)),
      present_(columns_.size(), false) {
  folder_ += ".parts";
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    throw Error(ErrorCode::Io, fmt::format("cannot create {}: {}", folder_.string(), error.message()),
                "check that the folder of the output exists and may be written");
  }
  while (take_over(part_path(parts_.size()))) parts_.push_back(part_path(parts_.size()));
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    if (std::find(parts_.begin(), parts_.end(), entry.path()) == parts_.end()) {
      std::filesystem::remove(entry.path(), error);
    }
  }
}

std::filesystem::path PartStore::part_path(std::size_t index) const {
  return folder_ / fmt::format("part-{:05}.safetensors", index);
}

bool PartStore::take_over(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return false;
  try {
    const SafetensorsFile file(path);
    const Metadata& metadata = file.metadata();
    const auto has = [&](const char* key, const std::string& value) {
      const auto found = metadata.find(key);
      return found != metadata.end() && found->second == value;
    };
    if (!has("fingerprint", fingerprint_) || !has(kFirstRow, std::to_string(rows_)) || !metadata.contains(kPresent)) {
      return false;
    }
    const FeatureCounts counts = counts_of(metadata);
    for (const FeatureColumn& column : columns_) {
      if (!file.contains(column.name)) return false;
      const TensorView& tensor = file.tensor(column.name);
      if (tensor.dtype != column.dtype || tensor.count() != counts.records * column.width) return false;
    }
    if (counts.records == 0) return false;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (metadata.at(kPresent).find("," + columns_[c].name) != std::string::npos) present_[c] = true;
    }
    rows_ += counts.records;
    counts_ += counts;
    return true;
  } catch (const Error&) {
    return false;  // a damaged part is evaluated again
  }
}

void PartStore::write(const FeatureRows& rows, const FeatureCounts& counts) {
  if (rows.rows() == 0) return;
  std::string present;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (!rows.present(columns_[c].name)) continue;
    present_[c] = true;
    present += "," + columns_[c].name;
  }
  SafetensorsWriter writer(part_path(parts_.size()));
  writer.set_metadata(
      with_counts({{"fingerprint", fingerprint_}, {kFirstRow, std::to_string(rows_)}, {kPresent, present}}, counts));
  for (const FeatureColumn& column : columns_) {
    writer.declare(column.name, column.dtype, {rows.rows(), column.width});
  }
  for (const FeatureColumn& column : columns_) writer.append(rows.bytes(column.name));
  writer.commit();
  parts_.push_back(part_path(parts_.size()));
  rows_ += rows.rows();
  counts_ += counts;
}

void PartStore::merge(Metadata metadata) {
  remove_leftovers(out_);
  SafetensorsWriter writer(out_);
  writer.set_metadata(with_counts(std::move(metadata), counts_));
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
  std::error_code ignored;  // the output is complete; a folder that stays is only in the way
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace coala
