// SPDX-License-Identifier: MIT
// One image in one thread's scratch memory: u and q band by band, block by block, and what is summed from
// them.
#pragma once

#include <cstring>

#include "cpu/adjoint.h"
#include "cpu/costate.h"
#include "cpu/forward.h"
#include "cpu/input.h"
#include "cpu/plan.h"
#include "cpu/update.h"

namespace yopo::cpu {

// A thread's memory, cut up as the plan says. Everything starts as zero: borders are never written again.
struct Scratch {
    float *u = nullptr, *gradient = nullptr, *p = nullptr, *q = nullptr, *z = nullptr, *rows = nullptr;

    Scratch(float* memory, const Plan& plan, const PlanOptions& options) {
        std::memset(memory, 0, plan.scratch_floats * sizeof(float));
        const std::size_t planes = static_cast<std::size_t>(plan.shape.in_channels) * plan.phases;
        if (options.input) memory = take(u, memory, planes * plan.u_plane);
        if (options.gradient) memory = take(gradient, memory, planes * plan.g_plane);
        if (plan.resident)
            memory = take(p, memory, static_cast<std::size_t>(plan.shape.out_channels) * plan.p_plane);
        memory = take(q, memory, static_cast<std::size_t>(plan.block_channels) * plan.q_plane);
        if (options.z) memory = take(z, memory, 4u * plan.p_plane);
        take(rows, memory, 3u * plan.row_floats);
    }

  private:
    static float* take(float*& part, float* memory, std::size_t floats) {
        part = memory;
        return memory + floats;
    }
};

template <class I>
struct Image {
    const FirstLayer& layer;
    const Costate& p;
    const Plan& plan;
    const Scratch& scratch;
    std::int64_t index;

    bool linear() const { return layer.activation == Activation::identity; }

    void pack_all() const {
        const CostateBlock all{index, 0, plan.shape.out_channels, 0, plan.out_height};
        if (plan.resident) pack_costate<I>(p, plan, all, scratch.p, plan.p_plane);
    }

    // Calls body(row, rows) for every band, with u loaded if `input` is given.
    template <class Body>
    void for_each_band(const InputImage* input, Body body) const {
        for (int row = 0; row < plan.out_height; row += plan.band_rows) {
            const int left = plan.out_height - row;
            const int rows = left < plan.band_rows ? left : plan.band_rows;
            if (input) InputBand<I>::fill(*input, layer, plan, row, rows, scratch.u, scratch.rows);
            // A shorter band: what the longer one left below it must read as border.
            if (rows < plan.band_rows) {
                std::memset(scratch.q, 0, sizeof(float) * plan.block_channels * plan.q_plane);
            }
            body(row, rows);
        }
    }

    // q = p * act'(z) of a block, in scratch.q.
    void costate_times_derivative(int first, int channels, int row, int rows) const {
        float* q = scratch.q + plan.q_lead;
        const float* source = q;
        int plane = plan.q_plane;
        if (plan.resident) {
            source = scratch.p + static_cast<std::int64_t>(first) * plan.p_plane;
            plane = plan.p_plane;
        } else {
            pack_costate<I>(p, plan, {index, first, channels, row, rows}, q, plan.q_plane);
        }
        if (linear()) return;
        const ForwardBlock block{&layer, &plan, scratch.u, first, channels, rows * plan.pitch};
        if (layer.activation == Activation::relu) {
            forward<I>(block, ReluCostate<I>{source, q, plane, plan.q_plane});
        } else {
            through_memory(block, source, plane, q);
        }
    }

    // G = the gradient of H with respect to the input that `input` describes.
    void input_gradient(const InputImage& input) const {
        const std::size_t planes = static_cast<std::size_t>(plan.shape.in_channels) * plan.phases;
        std::memset(scratch.gradient, 0, planes * plan.g_plane * sizeof(float));
        for_each_band(linear() ? nullptr : &input, [&](int row, int rows) {
            for (int first = 0; first < plan.shape.out_channels; first += plan.block_channels) {
                const int left = plan.shape.out_channels - first;
                const int channels = left < plan.block_channels ? left : plan.block_channels;
                costate_times_derivative(first, channels, row, rows);
                adjoint<I>({&layer, &plan, scratch.q, scratch.gradient, first, channels, row, rows});
            }
        });
    }

  private:
    // Four channels at a time, so that z is still in the cache when it is read.
    void through_memory(const ForwardBlock& block, const float* source, int plane, float* q) const {
        const DerivativePass<I> pass = derivative_pass<I>(layer.activation);
        float* z = scratch.z;
        for (int k = 0; k < block.channels; k += 4) {
            ForwardBlock part = block;
            part.first += k;
            part.channels = block.channels - k < 4 ? block.channels - k : 4;
            forward<I>(part, StoreZ<I>{z, plan.p_plane});
            for (int c = 0; c < part.channels; ++c) {
                pass(source + (k + c) * plane, z + c * plan.p_plane, q + (k + c) * plan.q_plane,
                     block.positions, layer.parameters);
            }
        }
    }
};

}  // namespace yopo::cpu
