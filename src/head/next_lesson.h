#pragma once

namespace coala {

/// What is foreseen of a lesson that nobody has given yet: the log-odds that the answer will be +1 are taken as normal.
struct Outlook {
  double mean = 0;
  double variance = 0;
};

/// What an answer would tell of the weights, in bits: the mutual information of both, H(E p) - E H(p) with
/// p = sigmoid(z), z normal, and H the entropy of a coin (BALD: Houlsby, Huszar, Ghahramani and Lengyel 2011, eq. 2).
/// It is large where the odds are not known, and not where the answer is a coin's whatever is known. By the trapezoidal
/// rule, whose error vanishes fast for what is smooth and flat at its ends.
double information_bits(const Outlook& outlook);

}  // namespace coala
