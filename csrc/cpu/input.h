// SPDX-License-Identifier: MIT
// Rows of images, and the padded, normalised, phase-split band of u = x + eta that the kernels read.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/isa.h"
#include "cpu/plan.h"

namespace yopo::cpu {

YOPO_FUNCTION void copy_row(const float* source, std::int64_t stride, int width, float* target) {
    if (stride == 1) {
        std::memcpy(target, source, width * sizeof(float));
    } else {
        for (int j = 0; j < width; ++j) target[j] = source[j * stride];
    }
}

YOPO_FUNCTION void scatter_row(const float* source, int width, float* target, std::int64_t stride) {
    if (stride == 1) {
        std::memcpy(target, source, width * sizeof(float));
    } else {
        for (int j = 0; j < width; ++j) target[j * stride] = source[j];
    }
}

template <class Pointer>
YOPO_FUNCTION Pointer row_of(Pointer data, const Strides& s, std::int64_t image, int channel, int row) {
    return data + image * s.n + channel * s.c + row * s.h;
}

// What u is made of: x alone, or x + eta.
struct InputImage {
    Images x;
    const float* eta = nullptr;
    Strides eta_strides;
    std::int64_t image = 0;
};

template <class I>
struct InputBand {
    using V = typename I::V;

    // Fills the band that the output rows [row, row + rows) read. Padding must be zero already and stays so.
    static void fill(const InputImage& input, const FirstLayer& layer, const Plan& plan, int row, int rows,
                     float* u, float* buffer) {
        const ConvShape& s = plan.shape;
        const int top = row * s.stride_h - s.padding_h;
        const int bottom = (row + rows - 1) * s.stride_h - s.padding_h + (s.kernel_h - 1) * s.dilation_h + 1;
        for (int c = 0; c < s.in_channels; ++c) {
            for (int i = top; i < bottom; ++i) {
                if (i < 0 || i >= s.height) {
                    if (rows != plan.out_height) clear_row(plan, u, c, i - top);
                    continue;
                }
                read_row(input, layer, plan, c, i, buffer);
                place_row(plan, buffer, u, c, i - top);
            }
        }
    }

  private:
    static void read_row(const InputImage& input, const FirstLayer& layer, const Plan& plan, int c, int i,
                         float* u) {
        const int width = plan.shape.width;
        copy_row(row_of(input.x.data, input.x.strides, input.image, c, i), input.x.strides.w, width, u);
        if (input.eta) {
            float* eta = u + plan.row_floats;
            copy_row(row_of(input.eta, input.eta_strides, input.image, c, i), input.eta_strides.w, width,
                     eta);
            for (int j = 0; j < plan.row_floats; j += I::lanes)
                store(u + j, load<V>(u + j) + load<V>(eta + j));
        }
        if (layer.normalization.mean) {
            const float mean = layer.normalization.mean[c], std = layer.normalization.std[c];
            for (int j = 0; j < plan.row_floats; j += I::lanes) store(u + j, (load<V>(u + j) - mean) / std);
        }
    }

    // `y`: the row counted from the band's first padded row.
    static void place_row(const Plan& plan, const float* source, float* u, int c, int y) {
        const ConvShape& s = plan.shape;
        for (int phase_x = 0; phase_x < s.stride_w; ++phase_x) {
            const int phase = y % s.stride_h * s.stride_w + phase_x;
            float* target = u + (c * plan.phases + phase) * plan.u_plane + y / s.stride_h * plan.pitch;
            int column = phase_x >= s.padding_w ? 0 : (s.padding_w - phase_x + s.stride_w - 1) / s.stride_w;
            if (s.stride_w == 1) {
                const int width = s.width < plan.pitch - column ? s.width : plan.pitch - column;
                if (width > 0) std::memcpy(target + column, source, width * sizeof(float));
                continue;
            }
            for (; column < plan.pitch; ++column) {
                const int j = column * s.stride_w + phase_x - s.padding_w;
                if (j >= s.width) break;
                target[column] = source[j];
            }
        }
    }

    static void clear_row(const Plan& plan, float* u, int c, int y) {
        const ConvShape& s = plan.shape;
        for (int phase_x = 0; phase_x < s.stride_w; ++phase_x) {
            const int phase = y % s.stride_h * s.stride_w + phase_x;
            float* target = u + (c * plan.phases + phase) * plan.u_plane + y / s.stride_h * plan.pitch;
            std::memset(target, 0, plan.pitch * sizeof(float));
        }
    }
};

}  // namespace yopo::cpu
