#pragma once

#include <filesystem>
#include <optional>

#include "extract/feature_settings.h"
#include "head/head.h"
#include "lm/backbone.h"

namespace coala {

/// The settings that a head's features were made with, after a check that the model and its template are those it was
/// trained with.
/// @param mode           how messages are to become text; absent: as the head says
/// @param allow_unbound  accept a head that does not say which model it is for
/// @throws Error{Mismatch}
FeatureSettings settings_for_head(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                                  std::optional<TemplateMode> mode, bool allow_unbound);

}  // namespace coala
