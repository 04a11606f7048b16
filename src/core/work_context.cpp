#include "core/work_context.h"

namespace coala {
namespace {

thread_local WorkContext t_context;

}  // namespace

const WorkContext& work_context() noexcept {
  return t_context;
}

WorkScope::WorkScope(const WorkContext& context) noexcept : before_(t_context) {
  t_context = context;
}

WorkScope::~WorkScope() {
  t_context = before_;
}

}  // namespace coala
