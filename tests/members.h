#pragma once

#include <cstddef>
#include <utility>

namespace coala::test {

/// Becomes whatever a member is.
struct Anything {
  template <class T>
  operator T() const;  // NOLINT(google-explicit-constructor)
};

template <class Struct, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires {
    Struct{(static_cast<void>(I), Anything{})...};
  };
}

/// How many members an aggregate has.
template <class Struct, std::size_t N = 0>
constexpr std::size_t members() {
  if constexpr (takes<Struct>(std::make_index_sequence<N + 1>{})) {
    return members<Struct, N + 1>();
  } else {
    return N;
  }
}

}  // namespace coala::test
