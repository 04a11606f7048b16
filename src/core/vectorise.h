#pragma once

// Loops over a vocabulary, and scores of candidates, run for every token drawn. They are written lane by lane, so that
// the compiler vectorises them without permission to reorder sums, and compiled for several instruction sets, of which
// the loader takes the best one. The thread sanitizer cannot start a program with such functions.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define COALA_WIDEST_LANES __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define COALA_WIDEST_LANES
#endif
