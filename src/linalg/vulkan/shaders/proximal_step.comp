// The group step in the metric, as the CPU's (host_backend.cpp): a workgroup has a group. Sums of the step are left for
// step_ahead.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "sums.glsl"

layout(local_size_x = 128) in;

layout(push_constant) uniform Push {
  uint dimension;
  float curvature;
};
layout(std430, binding = 0) readonly buffer Y { float y[]; };                // [groups][dimension]
layout(std430, binding = 1) readonly buffer Gradient { float gradient[]; };
layout(std430, binding = 2) readonly buffer Last { float last[]; };
layout(std430, binding = 3) readonly buffer Metric { float metric[]; };      // [dimension]
layout(std430, binding = 4) readonly buffer Thresholds { float thresholds[]; };
layout(std430, binding = 5) writeonly buffer Next { float next[]; };
layout(std430, binding = 6) writeonly buffer Sums { float sums[]; };          // [groups][6]

shared vec4 parts[128];

// Two sums over the workgroup, each of a number and what it lacks.
vec4 total(vec4 own) {
  uint lane = gl_LocalInvocationIndex;
  barrier();
  parts[lane] = own;
  for (uint width = 64u; width > 0u; width /= 2u) {
    barrier();
    if (lane < width) parts[lane] = vec4(add(parts[lane].xy, parts[lane + width].xy), add(parts[lane].zw, parts[lane + width].zw));
  }
  barrier();
  return parts[0];
}

float pull(uint at, uint j) {
  return curvature * metric[j] * y[at] - gradient[at];
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint group = gl_WorkGroupID.x;
  uint start = group * dimension;
  float beta = thresholds[group];

  vec2 square = vec2(0.0);
  for (uint j = lane; j < dimension; j += 128u) {
    float q = pull(start + j, j);
    square = add(square, q * q);
  }
  float size = sqrt(total(vec4(square, 0.0, 0.0)).x);
  bool open = size > beta;
  float s = 0.0;
  if (open && beta > 0.0) {
    const int kMostSteps = 60;
    for (int step = 0; step < kMostSteps; ++step) {
      vec2 phi = vec2(0.0);
      vec2 slope = vec2(0.0);
      for (uint j = lane; j < dimension; j += 128u) {
        float m = curvature * metric[j];
        float inverse = 1.0 / (m * s + beta);
        float ratio = pull(start + j, j) * inverse;
        float term = ratio * ratio;
        phi = add(phi, term);
        slope = add(slope, term * inverse * m);
      }
      vec4 sum = total(vec4(phi, slope));
      float above = (sum.x - 1.0) + sum.y;         // phi - 1
      float root_above = above / (sqrt(sum.x) + 1.0);  // sqrt(phi) - 1
      float move = root_above * sum.x / sum.z;
      s += move;
      if (!(move > 1e-7 * s)) break;
    }
  }

  vec2 uphill = vec2(0.0), moved = vec2(0.0), before = vec2(0.0);
  for (uint j = lane; j < dimension; j += 128u) {
    uint at = start + j;
    float m = curvature * metric[j];
    float q = pull(at, j);
    float value = !open ? 0.0 : beta > 0.0 ? q * s / (m * s + beta) : q / m;
    next[at] = value;
    float move = value - y[at];
    uphill = add(uphill, -metric[j] * move * (value - last[at]));
    moved = add(moved, metric[j] * move * move);
    before = add(before, metric[j] * y[at] * y[at]);
  }
  vec4 first = total(vec4(uphill, moved));
  vec4 second = total(vec4(before, 0.0, 0.0));
  if (lane == 0u) {
    sums[group * 6u] = first.x;
    sums[group * 6u + 1u] = first.y;
    sums[group * 6u + 2u] = first.z;
    sums[group * 6u + 3u] = first.w;
    sums[group * 6u + 4u] = second.x;
    sums[group * 6u + 5u] = second.y;
  }
}
