// Drives a fuzzer's function without libFuzzer, so that any compiler builds it and CTest runs it: every file of a
// corpus, then seeded mutations of them, the same ones each time. Usage: replay_NAME CORPUS MUTATIONS [SEED]
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/atomic_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kLongestInput_bytes = 8192;

std::string g_what;  ///< the input that runs, for the message when it ends the process

/// SplitMix64: the same numbers everywhere.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }

 private:
  std::uint64_t state_;
};

/// One change of an input, mostly a small one: all bytes but a few must stay as they are for the readers to get far.
void mutate(Bytes& input, const Bytes& other, Numbers& numbers) {
  constexpr std::array<std::uint8_t, 12> kTelling{0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{', ']', ',', '\n', '9'};
  const auto place = [&](const Bytes& bytes) {
    return bytes.begin() + static_cast<std::ptrdiff_t>(numbers.below(bytes.size() + 1));
  };
  if (input.empty()) {
    input.push_back(kTelling[numbers.below(kTelling.size())]);
    return;
  }
  const std::size_t at = numbers.below(input.size());
  const std::size_t end = std::min(input.size(), at + 1 + numbers.below(16));
  const auto from = input.begin() + static_cast<std::ptrdiff_t>(at);
  const auto to = input.begin() + static_cast<std::ptrdiff_t>(end);
  switch (numbers.below(8)) {
    case 0:
      input[at] = static_cast<std::uint8_t>(input[at] ^ (1u << numbers.below(8)));
      return;
    case 1:
      input[at] = static_cast<std::uint8_t>(numbers.next());
      return;
    case 2:
      input[at] = kTelling[numbers.below(kTelling.size())];
      return;
    case 3:
      input.erase(from, to);
      return;
    case 4: {
      const Bytes piece(from, to);
      input.insert(place(input), piece.begin(), piece.end());
      return;
    }
    case 5:
      input.insert(from, kTelling[numbers.below(kTelling.size())]);
      return;
    case 6: {  // the end of another input
      input.resize(at);
      input.insert(input.end(), other.begin() + (place(other) - other.begin()), other.end());
      return;
    }
    default:
      std::fill(from, to, static_cast<std::uint8_t>(numbers.below(2) == 0 ? 0 : 0xff));
  }
}

void name_the_input(int signal) {
  const std::string text = "replay: signal " + std::to_string(signal) + " at " + g_what + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  std::_Exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s CORPUS MUTATIONS [SEED]\n", argv[0]);
    return 2;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, name_the_input);
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) {
    std::fprintf(stderr, "%s is empty\n", argv[1]);
    return 2;
  }
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    const std::string content = coala::read_file(path);
    corpus.emplace_back(content.begin(), content.end());
    g_what = path.string();
    LLVMFuzzerTestOneInput(corpus.back().data(), corpus.back().size());
  }
  const long mutations = std::strtol(argv[2], nullptr, 10);
  const std::uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  for (long i = 0; i < mutations; ++i) {
    Numbers numbers(seed + static_cast<std::uint64_t>(i));
    const std::size_t first = numbers.below(corpus.size());
    Bytes input = corpus[first];
    for (std::size_t left = 1 + numbers.below(6); left > 0; --left) {
      mutate(input, corpus[numbers.below(corpus.size())], numbers);
    }
    input.resize(std::min(input.size(), kLongestInput_bytes));
    g_what = paths[first].string() + ", mutation " + std::to_string(i) + " of seed " + std::to_string(seed);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%zu inputs and %ld mutations\n", corpus.size(), mutations);
  return 0;
}
