// Weights for features as they are stored: w'x = (scale w)'f - (scale w)'mean, the last for the column of ones. A
// workgroup has a group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "sums.glsl"

layout(local_size_x = 128) in;

layout(push_constant) uniform Push {
  uint dimension;
};
layout(std430, binding = 0) readonly buffer Weights { float w[]; };      // [groups][dimension]
layout(std430, binding = 1) readonly buffer Scale { float scale[]; };
layout(std430, binding = 2) readonly buffer Mean { float mean[]; };
layout(std430, binding = 3) writeonly buffer Folded { float folded[]; };  // [groups][dimension + 1]

shared vec2 parts[128];

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint group = gl_WorkGroupID.x;
  vec2 shift = vec2(0.0);
  for (uint j = lane; j < dimension; j += 128u) {
    float value = w[group * dimension + j] * scale[j];
    folded[group * (dimension + 1u) + j] = value;
    shift = add(shift, -value * mean[j]);
  }
  parts[lane] = shift;
  for (uint width = 64u; width > 0u; width /= 2u) {
    barrier();
    if (lane < width) parts[lane] = add(parts[lane], parts[lane + width]);
  }
  if (lane == 0u) folded[group * (dimension + 1u) + dimension] = parts[0].x + parts[0].y;
}
