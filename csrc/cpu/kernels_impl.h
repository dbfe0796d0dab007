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

template <class I, Activation kind>
struct AddHamiltonian {
    const float* p;
    int p_plane, positions, pitch, width;
    ActivationParameters parameters;
    double* total;

    // Summed a vector at a time; the columns past W' hold no output.
    YOPO_FUNCTION void operator()(int k, int position, typename I::V z) const {
        float lane[I::lanes];
        store(lane, z);
        for (int i = 0; i < I::lanes; ++i) {
            if (position + i >= positions || (position + i) % pitch >= width) continue;
            *total +=
                static_cast<double>(p[k * p_plane + position + i]) * activate<kind>(lane[i], parameters);
        }
    }
};

template <class I, Activation kind>
void add_hamiltonian(const ForwardBlock& block, const float* p, ActivationParameters parameters,
                     double* total) {
    const Plan& plan = *block.plan;
    forward<I>(block, AddHamiltonian<I, kind>{p, plan.q_plane, block.positions, plan.pitch, plan.out_width,
                                              parameters, total});
}

template <class I>
void hamiltonian(const Hamiltonian& problem, const Job& job, std::int64_t image, float* memory,
                 double* value) {
    using Add = void (*)(const ForwardBlock&, const float*, ActivationParameters, double*);
    static constexpr Add adders[kActivations] = {
        add_hamiltonian<I, Activation::identity>,   add_hamiltonian<I, Activation::relu>,
        add_hamiltonian<I, Activation::leaky_relu>, add_hamiltonian<I, Activation::elu>,
        add_hamiltonian<I, Activation::gelu>,       add_hamiltonian<I, Activation::gelu_tanh>,
        add_hamiltonian<I, Activation::silu>,       add_hamiltonian<I, Activation::softplus>,
        add_hamiltonian<I, Activation::tanh>,       add_hamiltonian<I, Activation::sigmoid>,
    };
    const Plan& plan = job.plan;
    const Scratch scratch(memory, plan, job.options);
    const Image<I> work{problem.layer, problem.p, plan, scratch, image};
    const InputImage input{problem.u, nullptr, {}, image};
    float* q = scratch.q + plan.q_lead;
    work.for_each_band(&input, [&](int row, int rows) {
        for (int first = 0; first < plan.shape.out_channels; first += plan.block_channels) {
            const int left = plan.shape.out_channels - first;
            const int channels = left < plan.block_channels ? left : plan.block_channels;
            pack_costate<I>(problem.p, plan, {image, first, channels, row, rows}, q, plan.q_plane);
            const ForwardBlock block{&problem.layer, &plan, scratch.u, first, channels, rows * plan.pitch};
            adders[static_cast<int>(problem.layer.activation)](block, q, problem.layer.parameters, value);
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
constexpr Kernels kernels() {
    return {ascend<I>, hamiltonian<I>, input_gradient<I>, weight_gradient<I>};
}

}  // namespace yopo::cpu
