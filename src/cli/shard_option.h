#pragma once

#include <string>

#include "extract/parallel_extractor.h"

namespace coala {

/// "2/4": the second of four; "auto": what Slurm or MPI say about this process (one of one when they say nothing).
/// @throws Error{BadUsage}
Shard parse_shard(const std::string& text);

}  // namespace coala
