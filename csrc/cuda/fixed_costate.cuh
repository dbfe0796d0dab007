// SPDX-License-Identifier: MIT
// p of one image as scaled halves in shared memory. A warp reads the rows that it will multiply, the next one
// on its way while one is packed, and a lane reads back only what it wrote itself.
#pragma once

#include "cuda/fixed_memory.cuh"
#include "cuda/fixed_rows.cuh"
#include "cuda/power_of_two.cuh"

namespace yopo::cuda {

// Sums go from the scale of one row to that of the next, twice at most. A row whose scale is this much larger
// than that of the two before takes a smaller one, so that they cannot overflow: 2^30 is the most that a sum
// can be in its own scale.
inline constexpr float most_ratio = 0x1p93f;

// Writes a lane's part of a row in the second product's order; returns the row's scale, which its largest
// magnitude decides.
template <int elements>
__device__ __forceinline__ float pack_costate(const float (&v)[elements][4], uint4* to, float most_scale) {
    float most[4] = {};  // a chain of comparisons for each: one alone would be waited for
#pragma unroll
    for (int e = 0; e < elements; ++e) {
#pragma unroll
        for (int i = 0; i < 4; ++i) most[i] = larger_magnitude(most[i], v[e][i]);
    }
    const float largest = fmaxf(fmaxf(most[0], most[1]), fmaxf(most[2], most[3]));
    const float scale = fminf(scale_for(warp_largest(largest)), most_scale);
#pragma unroll
    for (int block = 0; block < elements / 4; ++block) {
        std::uint32_t words[4][2];
#pragma unroll
        for (int n = 0; n < 2; ++n) {
            const int e = 4 * block + 2 * n;
#pragma unroll
            for (int i = 0; i < 4; ++i) words[i][n] = pack_halves(v[e][i] * scale, v[e + 1][i] * scale);
        }
        to[block * 64] = uint4{words[0][0], words[0][1], words[1][0], words[1][1]};
        to[block * 64 + 32] = uint4{words[2][0], words[2][1], words[3][0], words[3][1]};
    }
    return scale;
}

// The warp's four rows, and how their products are to be scaled.
template <class Row>
class FixedCostate {
  public:
    using Shape = typename Row::Shape;

    // Asks for the first row.
    __device__ __forceinline__ void ask(const FlatCostate& p, std::int64_t image) {
        from_ = Row::place(p, image, first_row());
        row_.load(from_, first_row() < Shape::out_size);
    }

    // Asks for the next row and packs this one: 0, 1, 2 and 3 in turn.
    __device__ __forceinline__ void pack(int row, DType dtype, const FixedMemory<Shape>& m) {
        Row next;
        if (row + 1 < Shape::rows) {
            next.load(from_ + (row + 1) * Row::pitch, first_row() + row + 1 < Shape::out_size);
        }
        float most_scale = INFINITY;
#pragma unroll
        for (int before = row - 2; before < row; ++before) {
            if (before >= 0) most_scale = fminf(most_scale, scales_[before < 0 ? 0 : before] * most_ratio);
        }
        uint4* const to = m.p + (first_row() + row) * FixedMemory<Shape>::row_vectors + lane_index();
        float v[Row::elements][4];
        row_.spread(dtype, v);
        scales_[row] = pack_costate(v, to, most_scale);
        if (row + 1 < Shape::rows) row_ = next;
    }

    __device__ __forceinline__ void write_scales(const FixedMemory<Shape>& m) const {
        if (lane_index() != 0) return;
#pragma unroll
        for (int r = 0; r < Shape::rows; ++r) {
            m.unscale[first_row() + r] = inverse_of(scales_[r]);
            m.ratio[first_row() + r] = inverse_of(scales_[r > 0 ? r - 1 : 0]) * scales_[r];
        }
    }

  private:
    __device__ __forceinline__ static int first_row() { return warp_index() * Shape::rows; }

    const char* from_;
    Row row_;
    float scales_[Shape::rows];
};

}  // namespace yopo::cuda
