#include "cli/shard_option.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace coala {
namespace {

/// Where launchers say which of how many processes this is: Slurm, Open MPI, MPICH and Intel MPI.
constexpr std::array<std::pair<const char*, const char*>, 3> kLaunchers{
    {{"SLURM_PROCID", "SLURM_NTASKS"}, {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"}, {"PMI_RANK", "PMI_SIZE"}}};

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Shard parse_shard(const std::string& text) {
  if (text == "auto") {
    for (const auto& [rank_name, size_name] : kLaunchers) {
      const char* const rank = std::getenv(rank_name);
      const char* const size = std::getenv(size_name);
      if (rank == nullptr || size == nullptr) continue;
      const auto index = number(rank);
      const auto count = number(size);
      if (index && count && *index < *count) return {*index, *count};
      throw Error(ErrorCode::BadUsage, fmt::format("{}={} and {}={} name no process", rank_name, rank, size_name, size),
                  "use --shard i/n");
    }
    return {};
  }
  const std::size_t slash = text.find('/');
  if (slash != std::string::npos) {
    const auto index = number(std::string_view(text).substr(0, slash));
    const auto count = number(std::string_view(text).substr(slash + 1));
    if (index && count && *index >= 1 && *index <= *count) return {*index - 1, *count};
  }
  throw Error(ErrorCode::BadUsage, fmt::format("--shard '{}' is no part of a job", text),
              "use i/n with 1 <= i <= n, or auto");
}

}  // namespace coala
