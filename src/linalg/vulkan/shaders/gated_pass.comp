// One pass over X: a workgroup has a chunk of rows. A batch of rows comes into registers once, gives its predictions,
// is mapped to the derivatives of the losses, and is added to the groups' gradients, which stay in registers until
// the chunk is done.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "sums.glsl"
#include "losses.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kLanes = 128;
layout(constant_id = 2) const uint kGroups = 1;
layout(constant_id = 3) const uint kPairs = 1;  // of columns, of a lane
layout(constant_id = 4) const uint kRows = 1;   // of a batch, a power of two
layout(constant_id = 5) const uint kSides = 1;  // 2: the rows are pairs of responses
layout(constant_id = 6) const uint kType = 0;   // of X: F32, F16, BF16
layout(constant_id = 7) const uint kForward = 0;
layout(constant_id = 8) const uint kAdjoint = 0;
layout(constant_id = 9) const uint kAhead = 0;
layout(constant_id = 10) const uint kLoss = 0;

const uint kAll = kRows * kSides;
const uint kMaskWords = (kGroups + 31) / 32;
const uint kPart = kLanes / kRows;  // lanes that add up one row

layout(push_constant) uniform Push {
  uint rows;         // of this piece of X
  uint first;        // its first row among all
  uint chunk_rows;   // a multiple of kRows
  uint first_chunk;
  uint row_words;    // of X
  uint columns;      // of the weights
  uint margins_are_there;
  uint z_is_wanted;
  uint r_is_wanted;
  float bias;
  float from_y;
  float from_last;
};
layout(std430, binding = 0) readonly buffer Features { uint x_words[]; };    // [rows of X][side][row_words]
layout(std430, binding = 1) readonly buffer Masks { uint open_words[]; };    // [rows][side][kMaskWords]
layout(std430, binding = 2) readonly buffer Weights { float w[]; };          // [kGroups][columns]
layout(std430, binding = 3) readonly buffer Labels { float labels[]; };
layout(std430, binding = 4) readonly buffer RowWeights { float weights[]; };
layout(std430, binding = 5) readonly buffer Margins { float margins[]; };
layout(std430, binding = 6) readonly buffer Y { float y_z[]; };
layout(std430, binding = 7) readonly buffer YDerivatives { float y_r[]; };
layout(std430, binding = 8) readonly buffer Last { float last_z[]; };
layout(std430, binding = 9) readonly buffer Record { float record[]; };
layout(std430, binding = 10) writeonly buffer Predictions { float z_out[]; };
layout(std430, binding = 11) writeonly buffer PredictionsAhead { float z_ahead[]; };
layout(std430, binding = 12) buffer Derivatives { float r_rows[]; };
layout(std430, binding = 13) writeonly buffer Gradients { float gradients[]; };  // [chunks][kGroups][columns]
layout(std430, binding = 14) writeonly buffer Sums { float sums_out[]; };        // [chunks][kPassFloats]
layout(std430, binding = 15) readonly buffer Places { uint places[]; };          // [rows], of X

shared float parts[kLanes * kRows];
shared float batch_r[kRows];
shared float lane_sums[kRows * kPassFloats];

float half_value(uint bits) {  // by integers: unpackHalf2x16 may flush small numbers
  uint exponent = (bits >> 10) & 31u;
  uint mantissa = bits & 1023u;
  float size = exponent == 0u ? float(mantissa) * 5.9604644775390625e-8
                              : uintBitsToFloat(((exponent + 112u) << 23) | (mantissa << 13));
  return (bits & 32768u) != 0u ? -size : size;
}

vec2 read_pair(uint row_start, uint pair) {
  if (kType == 0u) {
    return vec2(uintBitsToFloat(x_words[row_start + 2u * pair]), uintBitsToFloat(x_words[row_start + 2u * pair + 1u]));
  }
  uint word = x_words[row_start + pair];
  if (kType == 1u) return vec2(half_value(word & 65535u), half_value(word >> 16));
  return vec2(uintBitsToFloat(word << 16), uintBitsToFloat(word & 0xffff0000u));
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  uint chunk = first_chunk + gl_WorkGroupID.x;
  uint begin = gl_WorkGroupID.x * chunk_rows;
  uint end = min(begin + chunk_rows, rows);
  uint pairs = (columns + 1u) / 2u;

  vec2 gradient[kGroups * kPairs];
  if (kAdjoint != 0u) {
    for (uint k = 0u; k < kGroups * kPairs; ++k) gradient[k] = vec2(0.0);
  }
  vec2 loss = vec2(0.0), rise = vec2(0.0), absolute = vec2(0.0), loss_ahead = vec2(0.0), slope_ahead = vec2(0.0);
  float largest = 0.0;
  float factor = kAhead != 0u ? record[kFactor] : 0.0;

  for (uint at = begin; at < end; at += kRows) {
    vec2 x[kAll * kPairs];
    uint open[kAll * kMaskWords];
    for (uint s = 0u; s < kAll; ++s) {
      uint row = min(at + s / kSides, end - 1u);
      uint response = row * kSides + s % kSides;
      uint x_start = (places[row] * kSides + s % kSides) * row_words;
      for (uint m = 0u; m < kMaskWords; ++m) open[s * kMaskWords + m] = open_words[response * kMaskWords + m];
      for (uint k = 0u; k < kPairs; ++k) {
        uint pair = lane + kLanes * k;
        x[s * kPairs + k] = pair < pairs ? read_pair(x_start, pair) : vec2(0.0);
      }
    }

    if (kForward != 0u) {
      float product[kRows];
      for (uint b = 0u; b < kRows; ++b) product[b] = 0.0;
      for (uint k = 0u; k < kPairs; ++k) {
        uint column = 2u * (lane + kLanes * k);
        vec2 sum[kAll];
        for (uint s = 0u; s < kAll; ++s) sum[s] = vec2(0.0);
        [[dont_unroll]] for (uint p = 0u; p < kGroups; ++p) {
          vec2 own = vec2(column < columns ? w[p * columns + column] : 0.0,
                          column + 1u < columns ? w[p * columns + column + 1u] : 0.0);
          for (uint s = 0u; s < kAll; ++s) {
            if ((open[s * kMaskWords + p / 32u] >> (p % 32u) & 1u) != 0u) sum[s] += own;
          }
        }
        for (uint s = 0u; s < kAll; ++s) {
          vec2 value = x[s * kPairs + k];
          float term = value.x * sum[s].x + value.y * sum[s].y;
          product[s / kSides] += s % kSides == 0u ? term : -term;
        }
      }
      // The lanes' parts of a row: those of its own kPart lanes first, then by halves.
      for (uint b = 0u; b < kRows; ++b) parts[b * kLanes + lane] = product[b];
      barrier();
      uint row = lane / kPart;
      float part = 0.0;
      for (uint m = 0u; m < kRows; ++m) part += parts[row * kLanes + lane % kPart + kPart * m];
      barrier();
      parts[lane] = part;
      for (uint width = kPart / 2u; width > 0u; width /= 2u) {
        barrier();
        if (lane % kPart < width) parts[lane] += parts[lane + width];
      }
      barrier();
    }

    if (lane < kRows) {
      bool there = at + lane < end;
      uint i = first + min(at + lane, end - 1u);
      float r = 0.0;
      if (there) {
        if (kForward == 0u) {
          r = r_rows[i];
        } else {
          float z = parts[lane * kPart];
          if (z_is_wanted != 0u) z_out[i] = z;
          if (kAdjoint != 0u) {
            float margin = margins_are_there != 0u ? margins[i] : 0.0;
            vec2 here = row_loss(kLoss, z + bias, labels[i], weights[i], margin);
            loss = add(loss, here.x);
            if (kAhead != 0u) {
              float before = y_z[i];
              float term = y_r[i] * ((z - before) + from_y);
              rise = add(rise, term);
              absolute = add(absolute, abs(term));
              largest = max(largest, max(abs(before), abs(z)));
              z += factor * (z - last_z[i]);
              z_ahead[i] = z;
              here = row_loss(kLoss, z + (bias + factor * from_last), labels[i], weights[i], margin);
            }
            r = here.y;
            loss_ahead = add(loss_ahead, here.x);
            slope_ahead = add(slope_ahead, r);
            if (r_is_wanted != 0u) r_rows[i] = r;
          }
        }
      }
      batch_r[lane] = r;
    }

    if (kAdjoint != 0u) {
      barrier();
      for (uint s = 0u; s < kAll; ++s) {
        float r = s % kSides == 0u ? batch_r[s / kSides] : -batch_r[s / kSides];
        for (uint k = 0u; k < kPairs; ++k) {
          vec2 term = r * x[s * kPairs + k];
          for (uint p = 0u; p < kGroups; ++p) {
            if ((open[s * kMaskWords + p / 32u] >> (p % 32u) & 1u) != 0u) gradient[p * kPairs + k] += term;
          }
        }
      }
    }
    barrier();
  }

  if (kAdjoint == 0u) return;
  for (uint k = 0u; k < kPairs; ++k) {
    uint column = 2u * (lane + kLanes * k);
    for (uint p = 0u; p < kGroups; ++p) {
      uint to = (chunk * kGroups + p) * columns + column;
      if (column < columns) gradients[to] = gradient[p * kPairs + k].x;
      if (column + 1u < columns) gradients[to + 1u] = gradient[p * kPairs + k].y;
    }
  }
  if (kForward == 0u) return;
  if (lane < kRows) {
    uint to = lane * kPassFloats;
    lane_sums[to] = loss.x;
    lane_sums[to + 1u] = loss.y;
    lane_sums[to + 2u] = rise.x;
    lane_sums[to + 3u] = rise.y;
    lane_sums[to + 4u] = absolute.x;
    lane_sums[to + 5u] = absolute.y;
    lane_sums[to + 6u] = loss_ahead.x;
    lane_sums[to + 7u] = loss_ahead.y;
    lane_sums[to + 8u] = slope_ahead.x;
    lane_sums[to + 9u] = slope_ahead.y;
    lane_sums[to + 10u] = largest;
  }
  barrier();
  if (lane < kPassCount) {
    vec2 sum = vec2(0.0);
    for (uint b = 0u; b < kRows; ++b) {
      uint from = b * kPassFloats + 2u * lane;
      sum = add(sum, vec2(lane_sums[from], lane_sums[from + 1u]));
    }
    sums_out[chunk * kPassFloats + 2u * lane] = sum.x;
    sums_out[chunk * kPassFloats + 2u * lane + 1u] = sum.y;
  } else if (lane == kPassCount) {
    float most = 0.0;
    for (uint b = 0u; b < kRows; ++b) most = max(most, lane_sums[b * kPassFloats + 10u]);
    sums_out[chunk * kPassFloats + 10u] = most;
  }
}
