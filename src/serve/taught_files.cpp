#include "serve/taught_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/private_folder.h"
#include "core/work_context.h"
#include "decode/export_head.h"

namespace coala {
namespace {

struct Named {
  const char* path;
  const char* name;
};

constexpr Named kNamed[]{{"/v1/feedback/head", "taught.safetensors"},
                         {"/v1/feedback/adapter", "taught-lora.gguf"},
                         {"/v1/feedback/model", "taught.gguf"}};

/// Does it on a thread of its own while somebody waits for it, and ends it otherwise.
template <class Work>
void attend(Work work, const Watch& watch) {
  std::atomic<bool> stop{false};
  std::future<void> done = std::async(std::launch::async, [&] {
    const WorkScope scope({nullptr, &stop});
    work();
  });
  while (done.wait_for(Watch::kLook) != std::future_status::ready) {
    try {
      watch.check();
    } catch (...) {
      stop = true;
      done.wait();
      throw;
    }
  }
  done.get();
}

}  // namespace

const char* taught_file_path(TaughtFile kind) {
  return kNamed[static_cast<std::size_t>(kind)].path;
}

const char* taught_file_name(TaughtFile kind) {
  return kNamed[static_cast<std::size_t>(kind)].name;
}

OpenFile::OpenFile(const std::filesystem::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat about = {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &about) != 0) {
    const int error = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw Error(ErrorCode::Io, fmt::format("cannot read a temporary file: {}", std::strerror(error)));
  }
  bytes_ = static_cast<std::uint64_t>(about.st_size);
  ::unlink(path.c_str());
}

OpenFile::~OpenFile() {
  ::close(descriptor_);
}

bool OpenFile::send(std::size_t offset, std::size_t length, httplib::DataSink& sink) const {
  constexpr std::size_t kPiece = std::size_t{64} << 10;
  std::vector<char> piece(std::min(length, kPiece));
  ssize_t got = 0;
  do {
    got = ::pread(descriptor_, piece.data(), piece.size(), static_cast<off_t>(offset));
  } while (got < 0 && errno == EINTR);
  return got > 0 && sink.write(piece.data(), static_cast<std::size_t>(got));
}

std::shared_ptr<const OpenFile> TaughtFiles::make(TaughtFile kind, const Teacher& teacher, const Watch& watch) {
  if (teacher.tilt() == nullptr) {
    throw RequestError(409, "nothing_taught", "nothing is taught yet", "", "give a lesson first");
  }
  const std::unique_lock lock(making_, std::try_to_lock);
  if (!lock.owns_lock()) {
    throw RequestError(429, "queue_full", "another file is being made of what is taught", "", "ask again later");
  }
  const Head head = teacher.head();
  const PrivateFolder folder("taught");
  const std::filesystem::path path = folder.path() / taught_file_name(kind);
  attend(
      [&] {
        if (kind == TaughtFile::Head) return save_head(head, path);
        HeadExport options;
        options.format = kind == TaughtFile::Adapter ? ExportFormat::Lora : ExportFormat::Gguf;
        export_head(head, taught_file_name(TaughtFile::Head), backbone_, options, path, threads_);
      },
      watch);
  return std::make_shared<const OpenFile>(path);
}

}  // namespace coala
