#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "serve/served_model.h"

namespace coala {

/// The model with its heads as they are now. Who answers a request takes it once: what it got stays as it is, also
/// where another takes its place meanwhile. From any thread.
class CurrentModel {
 public:
  explicit CurrentModel(std::shared_ptr<const ServedModel> model) : model_(std::move(model)) {}

  std::shared_ptr<const ServedModel> get() const {
    const std::lock_guard lock(mutex_);
    return model_;
  }
  void replace(std::shared_ptr<const ServedModel> model) {
    const std::lock_guard lock(mutex_);
    model_.swap(model);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ServedModel> model_;
};

}  // namespace coala
