// Inner products of rows: a workgroup has a row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "sums.glsl"

layout(local_size_x = 128) in;

layout(push_constant) uniform Push {
  uint length_of_row;
};
layout(std430, binding = 0) readonly buffer A { float a[]; };
layout(std430, binding = 1) readonly buffer B { float b[]; };
layout(std430, binding = 2) writeonly buffer Products { float products[]; };  // [rows][2]

shared vec2 parts[128];

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint row = gl_WorkGroupID.x;
  vec2 sum = vec2(0.0);
  for (uint j = lane; j < length_of_row; j += 128u) {
    sum = add(sum, a[row * length_of_row + j] * b[row * length_of_row + j]);
  }
  parts[lane] = sum;
  for (uint width = 64u; width > 0u; width /= 2u) {
    barrier();
    if (lane < width) parts[lane] = add(parts[lane], parts[lane + width]);
  }
  if (lane == 0u) {
    products[2u * row] = parts[0].x;
    products[2u * row + 1u] = parts[0].y;
  }
}
