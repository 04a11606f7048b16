// Sums of many numbers as a number and what it lacks (Knuth's two-sum): single precision alone would lose what a step
// changes. `precise`: nothing may be contracted or reordered.

vec2 two_sum(float a, float b) {
  precise float sum = a + b;
  precise float part = sum - a;
  precise float rest = (a - (sum - part)) + (b - part);
  return vec2(sum, rest);
}

vec2 add(vec2 x, float y) {
  precise vec2 sum = two_sum(x.x, y);
  precise float rest = sum.y + x.y;
  return two_sum(sum.x, rest);
}

vec2 add(vec2 x, vec2 y) {
  precise vec2 sum = two_sum(x.x, y.x);
  precise float rest = sum.y + (x.y + y.y);
  return two_sum(sum.x, rest);
}

// Where sums of steps and passes are in the record (kernels.h).
const uint kFactor = 0;
const uint kStepSums = 1;   // uphill, square, size: two numbers each
const uint kPassSums = 7;   // loss, rise, absolute, loss ahead, slope ahead: two numbers each; the largest prediction
const uint kPassCount = 5;
const uint kPassFloats = 11;
