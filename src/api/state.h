#pragma once

#include <utility>

#include "coala/context.h"
#include "coala/features.h"
#include "coala/head.h"
#include "core/parallel.h"
#include "core/work_context.h"
#include "features/feature_set.h"
#include "head/head.h"

// What is behind the public classes. In coala's own sources the public names are written coala::v1::Name, or Name
// within that namespace, and those of the layers coala::Name.

namespace coala::v1 {

struct [[gnu::visibility("hidden")]] Features::State {
  FeatureSet set;
};

struct [[gnu::visibility("hidden")]] Head::State {
  coala::Head head;
  std::filesystem::path path;  ///< for messages; "a head" where it comes from no file
};

/// The features of rows that were made here.
inline Features features_of(FeatureSet&& set) {
  return Features(std::make_shared<const Features::State>(Features::State{std::move(set)}));
}

inline Head head_of(coala::Head&& head, std::filesystem::path path) {
  return Head(std::make_shared<const Head::State>(Head::State{std::move(head), std::move(path)}));
}

/// This thread works for a call's context. It outlives this.
class CallScope {
 public:
  explicit CallScope(const Context& context) : scope_({context.news, &context.cancellation.flag()}) {}

 private:
  WorkScope scope_;
};

}  // namespace coala::v1
