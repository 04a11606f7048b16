// C = alpha A op(B) + beta C: a workgroup has 8 rows and 32 columns of C, and takes 32 terms of each sum at a time.
#version 450

layout(local_size_x = 128) in;

layout(push_constant) uniform Push {
  uint m;
  uint n;
  uint k;
  uint transpose_b;
  float alpha;
  float beta;
};
layout(std430, binding = 0) readonly buffer A { float a[]; };
layout(std430, binding = 1) readonly buffer B { float b[]; };
layout(std430, binding = 2) buffer C { float c[]; };

shared float a_tile[8][32];
shared float b_tile[32][33];  // [term][column]; an odd stride, for both ways to fill it

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint in_tile = lane % 32u;
  uint quarter = lane / 32u;
  uint first_row = gl_WorkGroupID.y * 8u;
  uint first_column = gl_WorkGroupID.x * 32u;
  float sum[2] = float[2](0.0, 0.0);
  for (uint term = 0u; term < k; term += 32u) {
    for (uint i = quarter; i < 8u; i += 4u) {
      bool there = first_row + i < m && term + in_tile < k;
      a_tile[i][in_tile] = there ? a[(first_row + i) * k + term + in_tile] : 0.0;
    }
    for (uint i = quarter; i < 32u; i += 4u) {
      if (transpose_b != 0u) {
        bool there = first_column + i < n && term + in_tile < k;
        b_tile[in_tile][i] = there ? b[(first_column + i) * k + term + in_tile] : 0.0;
      } else {
        bool there = term + i < k && first_column + in_tile < n;
        b_tile[i][in_tile] = there ? b[(term + i) * n + first_column + in_tile] : 0.0;
      }
    }
    barrier();
    for (uint t = 0u; t < 32u; ++t) {
      sum[0] += a_tile[quarter][t] * b_tile[t][in_tile];
      sum[1] += a_tile[quarter + 4u][t] * b_tile[t][in_tile];
    }
    barrier();
  }
  for (uint half_tile = 0u; half_tile < 2u; ++half_tile) {
    uint row = first_row + quarter + 4u * half_tile;
    uint column = first_column + in_tile;
    if (row >= m || column >= n) continue;
    uint at = row * n + column;
    float before = beta != 0.0 ? beta * c[at] : 0.0;
    c[at] = alpha * sum[half_tile] + before;
  }
}
