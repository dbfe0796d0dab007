// SPDX-License-Identifier: MIT
// The projected steps of one image, by one block or by several that share its lines out. A thread touches the
// same pixels every time, so no barrier is needed between one step and the next.
#pragma once

#include "cuda/pixels.cuh"
#include "cuda/reduce.cuh"

namespace yopo::cuda {

// Lines that this warp owns, of every channel: first, first + step, ...
struct LineShare {
    int first, step;
};

__device__ __forceinline__ LineShare lines_of_one_block() {
    return {warp_index(), warp_count()};
}

__device__ __forceinline__ bool is_infinite(float value) {
    return value == INFINITY || value == -INFINITY;
}

template <class Pixels>
class Update {
  public:
    using Channel = typename Pixels::Channel;

    // scratch: one double per thread, for Norm::l2 only
    __device__ Update(const AscentArguments& arguments, const Pixels& pixels, LineShare lines,
                      double* scratch)
        : a_(arguments), pixels_(pixels), lines_(lines), scratch_(scratch) {}

    // eta = its projection.
    __device__ void enter() const {
        double squares = 0;
        for_each(
            [&](Pixel at, const Channel&) { return State{pixels_.first_x(at), pixels_.first_eta(at), 0}; },
            [&](Pixel at, const Channel& channel, const State& s) {
                float eta = a_.boxed ? nan_where(s.x, s.eta) : s.eta;
                if (a_.norm == Norm::linf) eta = clamp(eta, interval(channel, s.x));
                squares += finite_square(eta);
                pixels_.keep_x(at, s.x);
                pixels_.set(at, channel, s.x, eta);
            });
        if (a_.norm == Norm::l2) scale_into_ball(squares);
    }

    // `steps` steps along the gradient.
    __device__ __forceinline__ void step(std::int64_t steps) const {
        if (a_.norm == Norm::linf) {
            step_linf(steps);
        } else {
            steps_l2(steps);
        }
    }

    // Calls use(pixel, channel, load(pixel, channel)) for every pixel of this warp's lines. Several pixels
    // are loaded before the first of them is used: a store in between would hold the next load back, since
    // the two might meet.
    template <class Load, class Use>
    __device__ __forceinline__ void for_each(Load load, Use use) const {
        constexpr int batch = 4;
        const ConvShape& s = a_.layer.shape;
        for (int c = 0; c < s.in_channels; ++c) {
            const Channel channel = pixels_.channel(c);
            int line = lines_.first, first = 0;  // first: column of lane 0
            while (line < s.height) {
                Pixel at[batch];
                bool exists[batch];
                decltype(load(Pixel{}, channel)) loaded[batch] = {};
#pragma unroll
                for (int k = 0; k < batch; ++k) {
                    at[k] = {c, line, first + lane_index()};
                    exists[k] = line < s.height && at[k].j < s.width;
                    if (exists[k]) loaded[k] = load(at[k], channel);
                    first += 32;
                    if (first >= s.width) {
                        first = 0;
                        line += lines_.step;
                    }
                }
#pragma unroll
                for (int k = 0; k < batch; ++k) {
                    if (exists[k]) use(at[k], channel, loaded[k]);
                }
            }
        }
    }

  private:
    // What a pixel's update depends on.
    struct State {
        float x, eta, g;
    };

    __device__ __forceinline__ Interval<float> interval(const Limits& l, float x) const {
        return a_.boxed ? ball_in_box(l.eps, x, l.low, l.high) : ball(l.eps);
    }

    __device__ __forceinline__ void step_linf(std::int64_t steps) const {
        for_each(
            [&](Pixel at, const Channel& channel) {
                return State{pixels_.x(at), pixels_.eta(at), pixels_.gradient(at, channel)};
            },
            [&](Pixel at, const Channel& channel, const State& s) {
                // sign(g): two comparisons that give numbers, and nothing to select
                const float up = s.g > 0.0f ? 1.0f : 0.0f, down = s.g < 0.0f ? 1.0f : 0.0f;
                const float along = a_.direction == Direction::sign ? up - down : s.g;
                const float delta = rounded_product(channel.alpha, along);
                const Interval<float> feasible = interval(channel, s.x);
                float eta = s.eta;
                for (std::int64_t n = 0; n < steps; ++n) eta = clamp(moved(eta, delta), feasible);
                pixels_.set(at, channel, s.x, eta);
            });
    }

    // ---- l2: per sample, sums in double ----

    __device__ void steps_l2(std::int64_t steps) const {
        const double norm = gradient_norm();
        if (!(norm < INFINITY)) return;
        const double scale = a_.direction == Direction::gradient ? 1.0 : norm > 0 ? 1.0 / norm : 0.0;
        for (std::int64_t n = 0; n < steps; ++n) step_l2(scale);
    }

    __device__ __forceinline__ double finite_square(float value) const {
        if (value != value) return 0;
        if (is_infinite(value)) value = a_.budget.at(eps_row, 0);
        return static_cast<double>(value) * value;
    }

    __device__ double gradient_norm() const {
        double squares = 0;
        for_each([&](Pixel at, const Channel& channel) { return pixels_.gradient(at, channel); },
                 [&](Pixel, const Channel&, float g) { squares += static_cast<double>(g) * g; });
        return sqrt(block_sum(squares, scratch_));
    }

    // One step of alpha * g * scale. The scale reaches 1e45, g as far down: their product is made in double.
    __device__ void step_l2(double scale) const {
        double squares = 0;
        for_each(
            [&](Pixel at, const Channel& channel) {
                return State{pixels_.x(at), pixels_.eta(at), pixels_.gradient(at, channel)};
            },
            [&](Pixel at, const Channel& channel, const State& s) {
                const float along = static_cast<float>(s.g * scale);
                const float eta = moved(s.eta, rounded_product(channel.alpha, along));
                squares += finite_square(eta);
                pixels_.set(at, channel, s.x, eta);
            });
        scale_into_ball(squares);
    }

    // eta = eta * eps / max(norm, eps), then clamped to the box.
    __device__ void scale_into_ball(double squares) const {
        const float eps = a_.budget.at(eps_row, 0);
        const float norm = static_cast<float>(sqrt(block_sum(squares, scratch_)));
        const float scale = norm > eps ? eps / norm : 1.0f;
        for_each([&](Pixel at, const Channel&) { return State{pixels_.x(at), pixels_.eta(at), 0}; },
                 [&](Pixel at, const Channel& channel, const State& s) {
                     const float eta = scaled(s.eta, scale, eps);
                     pixels_.set(at, channel, s.x, a_.boxed ? clamp(eta, box(channel, s.x)) : eta);
                 });
    }

    __device__ __forceinline__ float scaled(float eta, float scale, float eps) const {
        if (eta != eta) return eta;
        const float finite = is_infinite(eta) ? copysignf(eps, eta) : eta;
        return eps == 0.0f ? 0.0f : rounded_product(finite, scale);
    }

    __device__ __forceinline__ Interval<float> box(const Limits& l, float x) const {
        return {l.low - x, l.high - x};
    }

    const AscentArguments& a_;
    const Pixels& pixels_;
    LineShare lines_;
    double* scratch_;
};

}  // namespace yopo::cuda
