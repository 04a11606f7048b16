#pragma once

#include <filesystem>

namespace coala {

/// The quota of processor time that a control group gives, in cores: cpu.max of version 2 ("200000 100000" is 2), or
/// cpu.cfs_quota_us and cpu.cfs_period_us of version 1 in the folder. 0: it has none.
double quota_of_group(const std::filesystem::path& folder);

/// The cores that this process would get now, of those that it may use: all of them on an idle machine, fewer where
/// other programs run. Looks for 20 ms, with a thread per core that asks for all of it; a core that is shared with one
/// other program counts half. At least 1, at most usable_cores().
int free_cores();

}  // namespace coala
