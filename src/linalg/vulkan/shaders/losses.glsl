// The losses of a row, with functions of our own: Vulkan lets a driver's exp and log be off by 2^-21 and more.

// exp(-a), a >= 0; relative error below 2^-22 (Cephes' expf), 0 beyond 87.
float exp_minus(float a) {
  if (!(a < 87.0)) return 0.0;
  float n = floor(0.5 - a * 1.44269504088896341);
  precise float f = (-a - n * 0.693359375) + n * 2.12194440e-4;
  float p = 1.9875691500e-4;
  p = p * f + 1.3981999507e-3;
  p = p * f + 8.3334519073e-3;
  p = p * f + 4.1665795894e-2;
  p = p * f + 1.6666665459e-1;
  p = p * f + 5.0000001201e-1;
  p = (p * f * f + f) + 1.0;
  return p * uintBitsToFloat(uint(int(n) + 127) << 23);
}

// log(1 + e), 0 <= e <= 1: 2 artanh(e / (2 + e)), whose series ends below 2^-29.
float log_one_plus(float e) {
  float s = e / (2.0 + e);
  float t = s * s;
  float p = 1.0 / 15.0;
  p = p * t + 1.0 / 13.0;
  p = p * t + 1.0 / 11.0;
  p = p * t + 1.0 / 9.0;
  p = p * t + 1.0 / 7.0;
  p = p * t + 1.0 / 5.0;
  p = p * t + 1.0 / 3.0;
  return 2.0 * (s + s * t * p);
}

// The loss of a prediction and its derivative. form: 0 squared, 1 logistic.
vec2 row_loss(uint form, float z, float label, float weight, float margin) {
  if (form == 0u) {
    float rest = z - label;
    return vec2(weight * 0.5 * rest * rest, weight * rest);
  }
  float u = margin - label * z;
  float e = exp_minus(abs(u));
  float value = max(u, 0.0) + log_one_plus(e);
  float q = (u >= 0.0 ? 1.0 : e) / (1.0 + e);
  return vec2(weight * value, -weight * label * q);
}
