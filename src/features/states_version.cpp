#include "features/states_version.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/version.h"

namespace coala {

void check_states_version(const std::map<std::string, std::string>& metadata, const std::string& path,
                          const std::string& kind) {
  const auto found = metadata.find("backbone.states");
  const std::string version = found == metadata.end() ? "1" : found->second;
  if (version == kStatesVersion) return;
  const std::string reason =
      version == "1"
          ? "; those of version 1 are wrong by up to some percent, because attention could overwrite what it "
            "was still reading"
          : "";
  throw Error(ErrorCode::Mismatch,
              fmt::format("the {} {} comes from hidden states of version {}, this program computes version {}{}", kind,
                          path, version, kStatesVersion, reason),
              "extract the features again and train the head again (`coala align` does both)");
}

}  // namespace coala
