// The index of a folder of feature files. No name in it may lead out of the folder.
#include "features/feature_index.h"

#include <fcntl.h>

#include "core/error.h"
#include "input_file.h"

namespace {

/// A folder in memory for the index of each run.
class Store {
 public:
  Store() {
    std::string pattern = "/dev/shm/coala-fuzz-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~Store() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Store store;
  const std::filesystem::path& folder = store.path();
  const std::filesystem::path path = coala::feature_index_path(folder);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  coala::fuzz::require(file >= 0 && ::write(file, data, size) == static_cast<ssize_t>(size));
  ::close(file);
  try {
    const coala::FeatureIndex index = coala::read_feature_index(folder);
    std::uint64_t rows = 0;
    for (const auto& one : index.files) {
      coala::fuzz::require(one.name.find('/') == std::string::npos && one.name != "." && one.name != "..");
      rows += one.rows;
    }
    coala::fuzz::require(rows == index.rows);
  } catch (const coala::Error&) {
  }
  return 0;
}
