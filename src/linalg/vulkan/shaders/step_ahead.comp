// After the group steps: their sums, which say whether the momentum points uphill, and the point ahead.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "sums.glsl"

layout(local_size_x = 128) in;

layout(push_constant) uniform Push {
  uint groups;
  uint count;  // groups * dimension
  float momentum;
  float uphill_beside;
  float square_beside;
};
layout(std430, binding = 0) readonly buffer Sums { float sums[]; };  // [groups][6]
layout(std430, binding = 1) readonly buffer Next { float next[]; };
layout(std430, binding = 2) readonly buffer Last { float last[]; };
layout(std430, binding = 3) writeonly buffer Ahead { float ahead[]; };
layout(std430, binding = 4) writeonly buffer Record { float record[]; };

shared vec2 totals[3];

void main() {
  uint lane = gl_LocalInvocationIndex;
  if (lane < 3u) {
    vec2 sum = vec2(lane == 0u ? uphill_beside : lane == 1u ? square_beside : 0.0, 0.0);
    for (uint p = 0u; p < groups; ++p) sum = add(sum, vec2(sums[p * 6u + 2u * lane], sums[p * 6u + 2u * lane + 1u]));
    totals[lane] = sum;
    if (gl_WorkGroupID.x == 0u) {
      record[kStepSums + 2u * lane] = sum.x;
      record[kStepSums + 2u * lane + 1u] = sum.y;
    }
  }
  barrier();
  float factor = totals[0].x > 0.0 ? 0.0 : momentum;
  if (gl_GlobalInvocationID.x == 0u) record[kFactor] = factor;
  uint at = gl_GlobalInvocationID.x;
  if (at < count) ahead[at] = next[at] + factor * (next[at] - last[at]);
}
