#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "core/error.h"

namespace coala::test {

/// A fresh folder that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "coala-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// The read-only material beside the checkout (real data and models); not everybody has it.
inline std::filesystem::path shared_file(const std::string& name) {
  return std::filesystem::path(COALA_SHARED) / name;
}

/// Small files that belong to the tests.
inline std::filesystem::path test_file(const std::string& name) {
  return std::filesystem::path(COALA_TEST_FILES) / name;
}

/// The code of the Error that `action` throws; fails the test when it throws none.
inline ErrorCode error_code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_STRNE(error.what(), "");
    return error.code();
  }
  ADD_FAILURE() << "no error was thrown";
  return ErrorCode::Internal;
}

}  // namespace coala::test

/// Skips with the reason when a file of ../shared is not there.
#define COALA_NEEDS_SHARED(name)                                                                        \
  do {                                                                                                  \
    if (!std::filesystem::exists(coala::test::shared_file(name))) GTEST_SKIP() << "no ../shared/" name; \
  } while (false)
