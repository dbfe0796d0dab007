// SPDX-License-Identifier: MIT
// Packs the co-state p, in whatever type and strides it lies, into zero-bordered float planes.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/isa.h"
#include "cpu/plan.h"
#include "math/half.h"

namespace yopo::cpu {

template <DType dtype>
struct Element;
template <>
struct Element<DType::float32> {
    using Type = float;
    static YOPO_FUNCTION float widen(float value) { return value; }
};
template <>
struct Element<DType::bfloat16> {
    using Type = std::uint16_t;
    static YOPO_FUNCTION float widen(std::uint16_t bits) { return from_bfloat16(bits); }
};
template <>
struct Element<DType::float16> {
    using Type = std::uint16_t;
    static YOPO_FUNCTION float widen(std::uint16_t bits) { return from_float16(bits); }
};

// Four pixels of four neighbouring channels, transposed in registers.
template <class E>
YOPO_FUNCTION void transpose_4x4(const typename E::Type* source, std::int64_t pixel_stride, float* target,
                                 int plane) {
    Float4 pixel[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const typename E::Type* s = source + j * pixel_stride;
        pixel[j] = Float4{E::widen(s[0]), E::widen(s[1]), E::widen(s[2]), E::widen(s[3])};
    }
    const Float4 a = __builtin_shufflevector(pixel[0], pixel[1], 0, 4, 1, 5);
    const Float4 b = __builtin_shufflevector(pixel[2], pixel[3], 0, 4, 1, 5);
    const Float4 c = __builtin_shufflevector(pixel[0], pixel[1], 2, 6, 3, 7);
    const Float4 d = __builtin_shufflevector(pixel[2], pixel[3], 2, 6, 3, 7);
    store(target, __builtin_shufflevector(a, b, 0, 1, 4, 5));
    store(target + plane, __builtin_shufflevector(a, b, 2, 3, 6, 7));
    store(target + 2 * plane, __builtin_shufflevector(c, d, 0, 1, 4, 5));
    store(target + 3 * plane, __builtin_shufflevector(c, d, 2, 3, 6, 7));
}

// Which part of p goes where: channels [first, first + count) and output rows [row, row + rows) of one image.
struct CostateBlock {
    std::int64_t image;
    int first_channel, channels, row, rows;
};

template <class I, DType dtype>
struct CostatePacker {
    using E = Element<dtype>;
    using Type = typename E::Type;

    static void pack(const Costate& p, const Plan& plan, CostateBlock block, float* target, int plane) {
        const Type* base = static_cast<const Type*>(p.data) + block.image * p.strides.n +
                           block.first_channel * p.strides.c + block.row * p.strides.h;
        for (int r = 0; r < block.rows; ++r) {
            const Type* source = base + r * p.strides.h;
            float* row = target + r * plan.pitch;
            if (p.strides.c == 1 && p.strides.w != 1) {
                pack_channels_last(source, p.strides.w, plan.out_width, block.channels, row, plane);
            } else {
                for (int k = 0; k < block.channels; ++k) {
                    pack_row(source + k * p.strides.c, p.strides.w, plan.out_width, row + k * plane);
                }
            }
        }
    }

  private:
    static void pack_row(const Type* source, std::int64_t stride, int width, float* target) {
        if (stride == 1) {
            for (int j = 0; j < width; ++j) target[j] = E::widen(source[j]);
        } else {
            for (int j = 0; j < width; ++j) target[j] = E::widen(source[j * stride]);
        }
    }

    static void pack_channels_last(const Type* source, std::int64_t stride, int width, int channels,
                                   float* target, int plane) {
        int j = 0;
        for (; j + 4 <= width; j += 4) {
            int k = 0;
            for (; k + 4 <= channels; k += 4) {
                transpose_4x4<E>(source + j * stride + k, stride, target + k * plane + j, plane);
            }
            for (; k < channels; ++k) pack_row(source + j * stride + k, stride, 4, target + k * plane + j);
        }
        for (int k = 0; k < channels; ++k) {
            pack_row(source + j * stride + k, stride, width - j, target + k * plane + j);
        }
    }
};

// The columns between W' and the pitch are not written: they keep the zeros they were set to.
template <class I>
void pack_costate(const Costate& p, const Plan& plan, CostateBlock block, float* target, int plane) {
    switch (p.dtype) {
        case DType::float32:
            return CostatePacker<I, DType::float32>::pack(p, plan, block, target, plane);
        case DType::bfloat16:
            return CostatePacker<I, DType::bfloat16>::pack(p, plan, block, target, plane);
        case DType::float16:
            return CostatePacker<I, DType::float16>::pack(p, plan, block, target, plane);
    }
}

}  // namespace yopo::cpu
