// SPDX-License-Identifier: MIT
// The kernels of kernels.h for one instruction set; included once by each kernels_*.cpp.
#pragma once

#include "cpu/image.h"
#include "cpu/kernels.h"
#include "cpu/weight_gradient.h"

namespace yopo::cpu {

template <class I>
RowBuffers row_buffers(const Plan& plan, float* rows) {
    return {rows, rows + plan.row_floats, rows + 2 * plan.row_floats};
}

template <class I>
void ascend(const InnerAscent& problem, const Job& job, std::int64_t image, float* memory) {
    const Plan& plan = job.plan;
    const Scratch scratch(memory, plan, job.options);
    const Image<I> work{problem.layer, problem.p, plan, scratch, image};
    const Update<I> update{problem, plan, image, row_buffers<I>(plan, scratch.rows)};
    update.enter();
    if (problem.steps == 0) return;
    const InputImage input{problem.x, problem.out.data, problem.out.strides, image};
    // A linear layer's gradient does not depend on eta: one adjoint serves all steps.
    if (work.linear()) {
        work.input_gradient(input);
        update.step(scratch.gradient, problem.steps);
        return;
    }
    work.pack_all();
    for (std::int64_t n = 0; n < problem.steps; ++n) {
        work.input_gradient(input);
        update.step(scratch.gradient, 1);
    }
}

// The sum of p * act(z) over the rows of one channel; the columns past W' hold no output.
template <Activation kind>
double value_of_plane(const float* p, const float* z, const Plan& plan, int rows,
                      ActivationParameters parameters) {
    double total = 0;
    for (int r = 0; r < rows; ++r) {
        for (int j = r * plan.pitch; j < r * plan.pitch + plan.out_width; ++j) {
            total += static_cast<double>(p[j]) * activate<kind>(z[j], parameters);
        }
    }
    return total;
}

using ValueOfPlane = double (*)(const float* p, const float* z, const Plan&, int rows, ActivationParameters);

inline ValueOfPlane value_of_plane_with(Activation kind) {
    static constexpr ValueOfPlane values[kActivations] = {
        value_of_plane<Activation::identity>,   value_of_plane<Activation::relu>,
        value_of_plane<Activation::leaky_relu>, value_of_plane<Activation::elu>,
        value_of_plane<Activation::gelu>,       value_of_plane<Activation::gelu_tanh>,
        value_of_plane<Activation::silu>,       value_of_plane<Activation::softplus>,
        value_of_plane<Activation::tanh>,       value_of_plane<Activation::sigmoid>,
    };
    return values[static_cast<int>(kind)];
}

template <class I>
void hamiltonian(const Hamiltonian& problem, const Job& job, std::int64_t image, float* memory,
                 double* total) {
    const Plan& plan = job.plan;
    const FirstLayer& layer = problem.layer;
    const Scratch scratch(memory, plan, job.options);
    const Image<I> work{layer, problem.p, plan, scratch, image};
    const InputImage input{problem.u, nullptr, {}, image};
    const ValueOfPlane value = value_of_plane_with(layer.activation);
    work.for_each_band(&input, [&](int row, int rows) {
        for (int first = 0; first < plan.shape.out_channels; first += 4) {
            const int left = plan.shape.out_channels - first;
            const int channels = left < 4 ? left : 4;
            pack_costate<I>(problem.p, plan, {image, first, channels, row, rows}, scratch.q, plan.q_plane);
            forward<I>({&layer, &plan, scratch.u, first, channels, rows * plan.pitch},
                       StoreZ<I>{scratch.z, plan.p_plane});
            for (int k = 0; k < channels; ++k) {
                *total += value(scratch.q + k * plan.q_plane, scratch.z + k * plan.p_plane, plan, rows,
                                layer.parameters);
            }
        }
    });
}

template <class I>
void input_gradient(const Hamiltonian& problem, const Job& job, std::int64_t image, const MutableImages& out,
                    float* memory) {
    const Plan& plan = job.plan;
    const Scratch scratch(memory, plan, job.options);
    const Image<I> work{problem.layer, problem.p, plan, scratch, image};
    work.input_gradient({problem.u, nullptr, {}, image});
    for (int c = 0; c < plan.shape.in_channels; ++c) {
        for (int i = 0; i < plan.shape.height; ++i) {
            gradient_row<I>(plan, problem.layer.normalization, scratch.gradient, c, i, scratch.rows);
            scatter_row(scratch.rows, plan.shape.width, row_of(out.data, out.strides, image, c, i),
                        out.strides.w);
        }
    }
}

template <class I>
void weight_gradient(const Hamiltonian& problem, const Job& job, const WeightShare& share, float* memory) {
    const Plan& plan = job.plan;
    const Scratch scratch(memory, plan, job.options);
    for (std::int64_t image = share.first_image; image < share.last_image; ++image) {
        const Image<I> work{problem.layer, problem.p, plan, scratch, image};
        const InputImage input{problem.u, nullptr, {}, image};
        work.for_each_band(&input, [&](int row, int rows) {
            work.costate_times_derivative(share.first_channel, share.channels, row, rows);
            WeightGradient<I>::add({&plan, scratch.u, scratch.q + plan.q_lead, share.channels,
                                    rows * plan.pitch, share.weight, share.bias});
        });
    }
}

template <class I>
float multiply_adds(std::int64_t iterations) {
    using V = typename I::V;
    V sums[12] = {};
    const V factor = broadcast<V>(0.5f);
    for (std::int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; ++i) sums[i] = I::in_register(sums[i] * factor + factor);
    }
    float total = 0;
    for (const V& part : sums) total += sum(part);
    return total;
}

template <class I>
constexpr Kernels kernels() {
    return {.ascend = ascend<I>,
            .hamiltonian = hamiltonian<I>,
            .input_gradient = input_gradient<I>,
            .multiply_adds = multiply_adds<I>,
            .multiply_adds_flops = 2 * 12 * I::lanes,
            .weight_gradient = weight_gradient<I>};
}

}  // namespace yopo::cpu
