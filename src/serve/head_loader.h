#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lm/output_matrix.h"
#include "serve/current_model.h"
#include "serve/metrics.h"
#include "serve/served_model.h"

namespace coala {

struct HeadLoading {
  std::optional<TemplateMode> mode;  ///< how messages become text; absent: as the heads say
  bool allow_unbound = false;        ///< a head that does not say which model it is for is accepted
  std::string report;                ///< of the only head; "": what is beside each
  int threads = 1;
};

/// Reads heads for a server, and reads them again while it serves.
class HeadLoader {
 public:
  HeadLoader(std::shared_ptr<const OutputMatrix> output, HeadLoading how)
      : output_(std::move(output)), how_(std::move(how)) {}

  /// Adds a head to those that are served: all score, and those with a token head guide.
  /// @throws Error when it is not read, is another model's, has a name that is taken, or another template than the
  ///   others that guide
  void add(const std::filesystem::path& path, ServedModel& model) const;

  /// Replaces the heads whose files are others than they were, one after the other: what is said and counted as
  /// replaced is what the next request gets. Of a file that is refused the head stays what it was, which is said and
  /// counted too.
  /// @throws Error{Interrupted}
  void reread(CurrentModel& model, Metrics& metrics) const;

 private:
  std::shared_ptr<const OutputMatrix> output_;
  HeadLoading how_;
};

}  // namespace coala
