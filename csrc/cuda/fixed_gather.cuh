// SPDX-License-Identifier: MIT
// g of a thread's four pixels from V: sums over dy where V has them apart, then over dx, for which the
// neighbours in the row lend their edge columns. In units of its own for each row of pixels: only the sign is
// asked for.
#pragma once

#include "cuda/fixed_costate.cuh"
#include "cuda/fixed_pixels.cuh"

namespace yopo::cuda {

__device__ __forceinline__ float4 load4(const float* from) {
    return *reinterpret_cast<const float4*>(from);
}
__device__ __forceinline__ void add_scaled(float4& sum, const float* from, float scale) {
    const float4 v = load4(from);
    sum.x = fmaf(v.x, scale, sum.x), sum.y = fmaf(v.y, scale, sum.y);
    sum.z = fmaf(v.z, scale, sum.z), sum.w = fmaf(v.w, scale, sum.w);
}

// g[i] = s[0][i + padding] + s[1][i + padding - 1] + s[2][i + padding - 2] of the columns of a whole row.
template <class Shape>
__device__ __forceinline__ void add_columns(const float4 (&s)[3], int column, float (&g)[4]) {
    const bool first = column == 0;
    if constexpr (Shape::padding == 1) {
        float right = __shfl_down_sync(all_lanes, s[0].x, 1), left = __shfl_up_sync(all_lanes, s[2].w, 1);
        if (column + 4 >= Shape::size) right = 0.0f;
        if (first) left = 0.0f;
        g[0] = s[0].y + s[1].x + left, g[1] = s[0].z + s[1].y + s[2].x;
        g[2] = s[0].w + s[1].z + s[2].y, g[3] = right + s[1].w + s[2].z;
    } else {
        float one = __shfl_up_sync(all_lanes, s[1].w, 1), two = __shfl_up_sync(all_lanes, s[2].z, 1),
              three = __shfl_up_sync(all_lanes, s[2].w, 1);
        if (first) one = two = three = 0.0f;
        g[0] = s[0].x + one + two, g[1] = s[0].y + s[1].x + three;
        g[2] = s[0].z + s[1].y + s[2].x, g[3] = s[0].w + s[1].z + s[2].y;
    }
}

// V sums over dy, but for the ninth pair: of the warp's own rows, and of a neighbour's that reaches into
// them. Of these two the one in the larger unit comes first and the other is scaled down, so that nothing
// overflows.
template <class Shape, bool carries = FixedTaps<Shape>::carries>
class FixedGather {
  public:
    using Products = FixedProducts<Shape>;

    __device__ __forceinline__ FixedGather(const FixedMemory<Shape>& m, const FixedPixels<Shape>& pixels) {
        const Place own(pixels.row()), edge = own.other();
        const bool swapped = edge.exists() && edge.unscale(m) > own.unscale(m);
        two_ = edge.exists();
        first_ = (swapped ? edge : own).products(m) + pixels.column();
        second_ = (!two_ || swapped ? own : edge).products(m) + pixels.column();
        const float unit = inverse_of((swapped ? edge : own).unscale(m));
        second_scale_ = (!two_ || swapped ? own : edge).unscale(m) * unit;
        ninth_ = m.ninth + (pixels.row() + Shape::padding) * 3 * Products::pitch + pixels.column();
#pragma unroll
        for (int dy = 0; dy < 3; ++dy) {
            const int row = pixels.row() + Shape::padding - dy;
            ninth_exists_[dy] = row >= 0 && row < Shape::out_size;
            ninth_scale_[dy] = ninth_exists_[dy] ? m.unscale[row] * unit : 0.0f;
        }
    }

    __device__ __forceinline__ void sum(int channel, float4 (&s)[3]) const {
#pragma unroll
        for (int dx = 0; dx < 3; ++dx) {
            const int pair = 3 * channel + dx;
            if (pair < Products::pairs) {
                s[dx] = load4(first_ + pair * Products::pitch);
                if (two_) add_scaled(s[dx], second_ + pair * Products::pitch, second_scale_);
            } else {
                s[dx] = float4{0, 0, 0, 0};
#pragma unroll
                for (int dy = 0; dy < 3; ++dy) {
                    if (ninth_exists_[dy]) {
                        add_scaled(s[dx], ninth_ - 2 * dy * Products::pitch, ninth_scale_[dy]);
                    }
                }
            }
        }
    }

    // By which g is to be multiplied, but for the weights' scale and std.
    __device__ __forceinline__ float unscale(const FixedMemory<Shape>& m,
                                             const FixedPixels<Shape>& pixels) const {
        const Place own(pixels.row()), edge = own.other();
        return edge.exists() ? fmaxf(own.unscale(m), edge.unscale(m)) : own.unscale(m);
    }

  private:
    // A warp's sums for a row of pixels: warp_rows of them, of which the first `padding` lie above its own.
    struct Place {
        int warp, row;

        __device__ __forceinline__ Place(int warp_, int row_) : warp(warp_), row(row_) {}
        __device__ __forceinline__ explicit Place(int y)
            : warp(y / Shape::rows), row(y % Shape::rows + Shape::padding) {}
        // What a neighbour has for the same pixels.
        __device__ __forceinline__ Place other() const {
            if (row < 2) return {warp - 1, row + Shape::rows};
            return {warp + 1, row - Shape::rows};
        }
        __device__ __forceinline__ bool exists() const {
            return warp >= 0 && warp < Shape::warps && row >= 0 && row < Products::warp_rows;
        }
        __device__ __forceinline__ const float* products(const FixedMemory<Shape>& m) const {
            return m.products + (warp * Products::warp_rows + row) * Products::row_floats;
        }
        // Of the row of outputs after which they were stored.
        __device__ __forceinline__ float unscale(const FixedMemory<Shape>& m) const {
            return m.unscale[warp * Shape::rows + (row < Shape::rows ? row : Shape::rows - 1)];
        }
    };

    const float* first_;
    const float* second_;
    const float* ninth_;  // of dy = 0; a row of outputs less and a dy more lie two lines before
    bool two_, ninth_exists_[3];
    float second_scale_, ninth_scale_[3];
};

// V of all taps, for every row of outputs.
template <class Shape>
class FixedGather<Shape, false> {
  public:
    using Products = FixedProducts<Shape>;

    __device__ __forceinline__ FixedGather(const FixedMemory<Shape>& m, const FixedPixels<Shape>& pixels) {
        from_ = m.products + pixels.row() * Products::row_floats + pixels.column();
        const float unit = inverse_of(unscale(m, pixels));
#pragma unroll
        for (int dy = 0; dy < 3; ++dy) scale_[dy] = unscale_of(m, pixels, dy) * unit;
    }

    // By which g is to be multiplied, but for the weights' scale and std: the largest of the rows it comes
    // from.
    __device__ __forceinline__ float unscale(const FixedMemory<Shape>& m,
                                             const FixedPixels<Shape>& pixels) const {
        float largest = 0;
#pragma unroll
        for (int dy = 0; dy < 3; ++dy) largest = fmaxf(largest, unscale_of(m, pixels, dy));
        return largest;
    }

    __device__ __forceinline__ void sum(int, float4 (&s)[3]) const {
#pragma unroll
        for (int dx = 0; dx < 3; ++dx) {
            s[dx] = float4{0, 0, 0, 0};
#pragma unroll
            for (int dy = 0; dy < 3; ++dy) {
                add_scaled(s[dx], from_ + (2 - dy) * Products::row_floats + (3 * dy + dx) * Products::pitch,
                           scale_[dy]);
            }
        }
    }

  private:
    // Of the row of outputs that reads the pixel's row with its row dy; 0 where there is none.
    __device__ __forceinline__ static float unscale_of(const FixedMemory<Shape>& m,
                                                       const FixedPixels<Shape>& pixels, int dy) {
        const int row = pixels.row() + Shape::padding - dy;
        return row >= 0 && row < Shape::out_size ? m.unscale[row] : 0.0f;
    }

    const float* from_;
    float scale_[3];
};

}  // namespace yopo::cuda
