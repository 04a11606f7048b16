#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <numeric>
#include <thread>

#include "core/atomic_file.h"
#include "core/deadline.h"
#include "core/free_cores.h"
#include "core/half.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/run_delay.h"
#include "core/safetensors.h"
#include "core/utf8.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::TemporaryFolder;

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const TemporaryFolder folder;
  {
    AtomicFile file(folder / "a");
    file.write("half");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  write_file(folder / "a", "whole");
  EXPECT_EQ(read_file(folder / "a"), "whole");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, RemovesWhatAKilledProcessLeft) {
  const TemporaryFolder folder;
  const auto left = folder / "a.coala-tmp-1";
  const auto written = folder / "a.coala-tmp-2";  // by a process that lives: it holds a lock
  for (const auto& path : {left, written, folder / "ab.coala-tmp-1"}) std::ofstream(path) << "half";
  const int descriptor = ::open(written.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(::flock(descriptor, LOCK_EX | LOCK_NB), 0);
  write_file(folder / "a", "whole");
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(written));
  EXPECT_TRUE(std::filesystem::exists(folder / "ab.coala-tmp-1"));
  EXPECT_EQ(read_file(folder / "a"), "whole");
  ::close(descriptor);
}

TEST(AtomicFile, SaysWhatTheSystemRefuses) {
  EXPECT_EQ(error_code_of([] { write_file("/no/such/folder/a", "x"); }), ErrorCode::Io);
  EXPECT_EQ(error_code_of([] { write_file("/dev/full/x", "x"); }), ErrorCode::Io);
  EXPECT_EQ(error_code_of([] { read_file("/no/such/file"); }), ErrorCode::BadInput);
}

TEST(AtomicFile, GoesWhereALinkLeadsAndRefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  std::filesystem::permissions(folder / "a", std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::create_symlink("a", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "a"), "new");
  EXPECT_EQ(std::filesystem::status(folder / "a").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::create_symlink("round", folder / "round");
  EXPECT_EQ(error_code_of([&] { write_file(folder / "round", "x"); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([&] { write_file(folder.path(), "x"); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([] { write_file("", "x"); }), ErrorCode::BadUsage);
  write_file("/dev/null", "x");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

TEST(Utf8, PrintableTextCannotOrderATerminal) {
  EXPECT_EQ(printable("h\u00e9llo \u4e16"), "h\u00e9llo \u4e16");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x1b]0;t\a\n\t"), "\\x1b]0;t\\x07\\n\\t");
  EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");  // a control of two bytes
  EXPECT_EQ(printable("\u202ex\u2069"), "\\xe2\\x80\\xaex\\xe2\\x81\\xa9");
  EXPECT_EQ(printable("\xff\xe4\xb8"), "\\xff\\xe4\\xb8");  // no characters
  EXPECT_EQ(printable_lines("a\n\tb\r"), "a\n\tb\\x0d");
  const Error error(ErrorCode::BadInput, std::string("a\0b", 3), "\x1b");
  EXPECT_STREQ(error.what(), "a\\x00b");
  EXPECT_EQ(error.hint(), "\\x1b");
}

TEST(Half, EveryF16SurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f16_to_f32(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
    } else {
      ASSERT_EQ(f32_to_f16(value), half) << bits;
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  // Between two neighbours the nearer one wins, at the midpoint the even one: checked for every finite positive pair.
  for (std::uint16_t half = 0; half < 0x7bff; ++half) {
    const float low = f16_to_f32(half);
    const float high = f16_to_f32(static_cast<std::uint16_t>(half + 1));
    const float middle = low + (high - low) / 2;  // exact in float
    ASSERT_EQ(f32_to_f16(middle), (half & 1) != 0 ? half + 1 : half);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, low)), half);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, high)), half + 1);
  }
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(f32_to_bf16(1.0f + 0x3p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(Hash, SeparatesPartsAndKnowsEveryByte) {
  EXPECT_NE(Hasher().add("ab").add("c").hex(), Hasher().add("a").add("bc").hex());
  EXPECT_EQ(hash_text("coala"), hash_text("coala"));
  EXPECT_NE(hash_text("coala"), hash_text("koala"));
  EXPECT_EQ(hash_text("").size(), 32u);
  EXPECT_EQ(error_code_of([] { hash_file("/no/such/file"); }), ErrorCode::BadInput);
}

TEST(Random, IsTheSameEverywhere) {
  Random random(7);
  // Reference values of xoshiro256** seeded by splitmix64(7), computed by an independent script.
  EXPECT_EQ(random.next(), 0xb358faf74ef9765au);
  EXPECT_EQ(random.next(), 0x475c3d964f482cd2u);
  EXPECT_EQ(random.next(), 0xd6f1d349952c7996u);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  // Five standard errors: 1/sqrt(n) for the mean, sqrt(2/n) for the variance.
  EXPECT_LT(std::abs(sum / kDraws), 5 / std::sqrt(kDraws));
  EXPECT_LT(std::abs(squares / kDraws - 1), 5 * std::sqrt(2.0 / kDraws));
  sum = 0;
  int above_one = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.exponential();
    EXPECT_GT(x, 0);
    sum += x;
    above_one += x > 1 ? 1 : 0;
  }
  EXPECT_LT(std::abs(sum / kDraws - 1), 5 / std::sqrt(kDraws));
  const double expected = std::exp(-1);
  EXPECT_LT(std::abs(above_one / double{kDraws} - expected), 5 * std::sqrt(expected * (1 - expected) / kDraws));
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[random.below(7)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 5 * std::sqrt(10000));
}

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::size_t count : {0u, 1u, 7u, 64u, 1000u}) {
      std::vector<std::atomic<int>> seen(count);
      pool.for_parts(count, 8, [&](int, std::size_t begin, std::size_t end) {
        EXPECT_EQ(begin % 8, 0u);
        for (std::size_t i = begin; i < end; ++i) ++seen[i];
      });
      for (const auto& times : seen) EXPECT_EQ(times.load(), 1);
    }
  }
}

/// Pieces are cut at multiples of the grain, and each is run once, by a thread whose number is its own at the time.
TEST(ThreadPool, ChunksCoverEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> inside(static_cast<std::size_t>(threads));
    for (const std::size_t count : {0u, 1u, 7u, 64u, 1000u}) {
      std::vector<std::atomic<int>> seen(count);
      pool.for_chunks(count, 8, [&](int thread, std::size_t begin, std::size_t end) {
        EXPECT_EQ(begin % 8, 0u);
        EXPECT_EQ(inside[static_cast<std::size_t>(thread)]++, 0) << "two threads have one number";
        for (std::size_t i = begin; i < end; ++i) ++seen[i];
        --inside[static_cast<std::size_t>(thread)];
      });
      for (const auto& times : seen) EXPECT_EQ(times.load(), 1);
    }
  }
}

/// A thread that has lost its core holds the others up by its own piece and no more: they take all that is left.
TEST(ThreadPool, NobodyWaitsForASlowThreadsShare) {
  ThreadPool pool(2);
  std::atomic<int> by_others{0};
  std::atomic<bool> held{false};
  pool.for_chunks(64, 1, [&](int, std::size_t, std::size_t) {
    if (!held.exchange(true)) {  // the first piece ends when all others are done
      while (by_others < 31) std::this_thread::yield();
      return;
    }
    ++by_others;
  });
  EXPECT_EQ(by_others, 31) << "two threads have sixteen pieces each";
}

/// While it lives, the calling thread and those that it starts have one core between them.
class OneCore {
 public:
  OneCore() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (!CPU_ISSET(core, &before_)) continue;
      CPU_SET(core, &one);
      break;
    }
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OneCore() { sched_setaffinity(0, sizeof before_, &before_); }
  OneCore(const OneCore&) = delete;
  OneCore& operator=(const OneCore&) = delete;

 private:
  cpu_set_t before_;
};

void work_for(std::chrono::microseconds time) {
  const auto begun = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begun < time) {
  }
}

TEST(RunDelay, IsTheTimeThatOthersHadTheCore) {
  if (std::ifstream("/proc/self/schedstat").fail()) GTEST_SKIP() << "the system does not tell";
  const OneCore scope;
  constexpr std::chrono::milliseconds kTime{200};
  const auto before = run_delay(::gettid());
  std::thread other([&] { work_for(kTime); });
  work_for(kTime);
  const auto delay = run_delay(::gettid()) - before;
  other.join();
  // Both want the core for nearly all of the time; a third of it leaves room for the start and for slices.
  EXPECT_GT(delay, kTime / 3);
}

/// Two threads that have one core between them get in each other's way, so one rests most of the time. It would run
/// half of the pieces otherwise.
TEST(ThreadPool, AThreadRestsWhereCoresAreMissing) {
  if (std::ifstream("/proc/self/schedstat").fail()) GTEST_SKIP() << "the system does not tell";
  const OneCore scope;
  ThreadPool pool(2);
  std::array<int, 2> pieces{};
  const auto begun = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begun < std::chrono::seconds(3)) {
    pool.for_chunks(16, 1, [&](int thread, std::size_t, std::size_t) {
      ++pieces[static_cast<std::size_t>(thread)];
      work_for(std::chrono::microseconds(100));
    });
  }
  EXPECT_LT(pieces[1], pieces[0] / 3);
  EXPECT_GT(pieces[1], 0) << "it is tried now and then";
}

TEST(Cores, TheQuotaOfAContainerIsRead) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const char* text) { std::ofstream(folder / name) << text; };
  EXPECT_EQ(quota_of_group(folder.path()), 0);
  write("cpu.cfs_period_us", "100000\n");
  write("cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(quota_of_group(folder.path()), 0);
  write("cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(quota_of_group(folder.path()), 2.5);
  write("cpu.max", "max 100000\n");
  EXPECT_EQ(quota_of_group(folder.path()), 2.5) << "version 2 has none, version 1 has one";
  write("cpu.max", "150000 100000\n");
  EXPECT_EQ(quota_of_group(folder.path()), 1.5);
  EXPECT_GE(free_cores(), 1);
  EXPECT_LE(free_cores(), usable_cores());
}

/// Loops shorter than it takes a thread to wake up, more threads than cores: late ones must do nothing twice.
TEST(ThreadPool, ShortLoopsFollowEachOther) {
  constexpr int kLoops = 20000;
  for (const int threads : {2, 7}) {
    ThreadPool pool(threads);
    std::vector<std::size_t> sums(static_cast<std::size_t>(threads));
    for (int loop = 0; loop < kLoops; ++loop) {
      pool.for_parts(sums.size(), 1, [&](int part, std::size_t begin, std::size_t end) {
        EXPECT_EQ(begin, static_cast<std::size_t>(part));
        sums[begin] += end - begin;
      });
    }
    for (const std::size_t sum : sums) EXPECT_EQ(sum, static_cast<std::size_t>(kLoops));
  }
}

TEST(ThreadPool, HandsOnAnException) {
  ThreadPool pool(3);
  EXPECT_EQ(error_code_of([&] {
              pool.for_parts(30, 1, [](int, std::size_t, std::size_t) { throw Error(ErrorCode::BadInput, "x"); });
            }),
            ErrorCode::BadInput);
  std::atomic<int> ran{0};
  pool.for_parts(3, 1, [&](int, std::size_t, std::size_t) { ++ran; });
  EXPECT_EQ(ran.load(), 3);
}

std::filesystem::path write_sample(const TemporaryFolder& folder) {
  SafetensorsWriter writer(folder / "sample.safetensors");
  writer.set_metadata({{"who", "coala \"quoted\" ü"}});
  writer.declare("x", Dtype::F32, {2, 3});
  writer.declare("n", Dtype::I32, {2});
  writer.declare("empty", Dtype::F16, {0, 5});
  const std::vector<float> x{1, -2, 3.5f, 0, 1e-30f, 7};
  const std::vector<std::int32_t> n{-5, 9};
  writer.append(std::span(x).first(2));
  writer.append(std::span(x).subspan(2));
  writer.append(std::span<const std::int32_t>(n));
  writer.commit();
  return folder / "sample.safetensors";
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const TemporaryFolder folder;
  const SafetensorsFile file(write_sample(folder));
  EXPECT_EQ(file.metadata().at("who"), "coala \"quoted\" ü");
  EXPECT_EQ(file.read_f32("x"), (std::vector<float>{1, -2, 3.5f, 0, 1e-30f, 7}));
  EXPECT_EQ(file.tensor("x").shape, (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(file.read_i64("n"), (std::vector<std::int64_t>{-5, 9}));
  EXPECT_TRUE(file.read_f32("empty").empty());
  EXPECT_EQ(error_code_of([&] { file.tensor("y"); }), ErrorCode::CorruptFile);
  EXPECT_EQ(error_code_of([&] { file.read_f32("n"); }), ErrorCode::CorruptFile);
  EXPECT_EQ(error_code_of([&] { file.read_i64("x"); }), ErrorCode::CorruptFile);
}

TEST(Safetensors, RefusesEveryTruncationAndExtension) {
  const TemporaryFolder folder;
  const std::string whole = read_file(write_sample(folder));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_file(folder / "cut", std::string_view(whole).substr(0, size));
    EXPECT_EQ(error_code_of([&] { SafetensorsFile(folder / "cut"); }), ErrorCode::CorruptFile) << size;
  }
  write_file(folder / "long", whole + "x");
  EXPECT_EQ(error_code_of([&] { SafetensorsFile(folder / "long"); }), ErrorCode::CorruptFile);
}

TEST(Safetensors, RefusesHostileHeaders) {
  const TemporaryFolder folder;
  const auto with_header = [&](const std::string& header, std::size_t data_bytes) {
    const std::uint64_t length = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    write_file(folder / "h", bytes + header + std::string(data_bytes, '\0'));
    return folder / "h";
  };
  const std::vector<std::pair<std::string, std::size_t>> cases{
      {R"([])", 0},
      {R"({"x":5})", 0},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4},
      {R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}})", 8},
      {R"({"x":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", 4},
      {R"({"x":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4},
      {R"({"__metadata__":{"a":1}})", 0},
      {std::string(100000, '['), 0},
      {std::string(50, '{'), 0}};
  for (const auto& [header, bytes] : cases) {
    const auto path = with_header(header, bytes);
    EXPECT_EQ(error_code_of([&] { SafetensorsFile{path}; }), ErrorCode::CorruptFile) << header.substr(0, 80);
  }
  EXPECT_EQ(error_code_of([] { SafetensorsFile("/no/such/file"); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([&] { SafetensorsFile{folder.path()}; }), ErrorCode::BadInput);
}

TEST(Deadline, SharesEndEarlier) {
  EXPECT_FALSE(Deadline().passed());
  EXPECT_FALSE(Deadline().share(0).passed());  // of no limit
  EXPECT_TRUE(Deadline::after(0).passed());
  EXPECT_TRUE(Deadline::after(-5).passed());
  const Deadline late = Deadline::after(1e6);
  EXPECT_FALSE(late.passed());
  EXPECT_FALSE(late.share(0.5).passed());
  EXPECT_TRUE(late.share(0).passed());
  EXPECT_TRUE(Deadline::after(0).share(1).passed());
}

}  // namespace
}  // namespace coala
