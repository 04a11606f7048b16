#pragma once

/// What a shared library shows of coala; everything else in it is hidden.
#define COALA_API __attribute__((visibility("default")))

/// Everything of the library is written `coala::Name`. Most names are those of `coala::v1`, and so are their symbols: a
/// program that was linked with another version of them does not start instead of going wrong.
namespace coala {
namespace v1 {}
#ifndef COALA_INTERNAL  // coala's own sources have a Head, an Engine, ... behind the public ones
using namespace v1;
#endif
}  // namespace coala
