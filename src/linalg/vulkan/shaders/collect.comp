// After a pass: the groups' gradients and the sums from those of the chunks, always in the same order. The last
// workgroup has the sums.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "sums.glsl"

layout(local_size_x = 128) in;

layout(push_constant) uniform Push {
  uint groups;
  uint dimension;
  uint columns;  // dimension, and one for the ones when there is a transform
  uint chunks;
  uint sums_are_there;
};
layout(std430, binding = 0) readonly buffer Gradients { float gradients[]; };  // [chunks][groups][columns]
layout(std430, binding = 1) readonly buffer Sums { float sums[]; };            // [chunks][kPassFloats]
layout(std430, binding = 2) readonly buffer Scale { float scale[]; };          // [dimension]
layout(std430, binding = 3) readonly buffer Mean { float mean[]; };            // [dimension]
layout(std430, binding = 4) writeonly buffer Gradient { float gradient[]; };   // [groups][dimension]
layout(std430, binding = 5) writeonly buffer Record { float record[]; };

float over_chunks(uint group, uint column) {
  float sum = 0.0;
  for (uint c = 0u; c < chunks; ++c) sum += gradients[(c * groups + group) * columns + column];
  return sum;
}

void main() {
  if (gl_WorkGroupID.x + 1u == gl_NumWorkGroups.x) {
    uint lane = gl_LocalInvocationIndex;
    if (sums_are_there == 0u || lane > kPassCount) return;
    if (lane < kPassCount) {
      vec2 sum = vec2(0.0);
      for (uint c = 0u; c < chunks; ++c) {
        uint from = c * kPassFloats + 2u * lane;
        sum = add(sum, vec2(sums[from], sums[from + 1u]));
      }
      record[kPassSums + 2u * lane] = sum.x;
      record[kPassSums + 2u * lane + 1u] = sum.y;
    } else {
      float most = 0.0;
      for (uint c = 0u; c < chunks; ++c) most = max(most, sums[c * kPassFloats + 2u * kPassCount]);
      record[kPassSums + 2u * kPassCount] = most;
    }
    return;
  }
  uint at = gl_GlobalInvocationID.x;
  if (at >= groups * dimension) return;
  uint group = at / dimension;
  uint column = at % dimension;
  float sum = over_chunks(group, column);
  if (columns > dimension) {
    // A column that is switched off may hold anything.
    float rest = over_chunks(group, dimension);
    sum = scale[column] != 0.0 ? scale[column] * (sum - mean[column] * rest) : 0.0;
  }
  gradient[at] = sum;
}
