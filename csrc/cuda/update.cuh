// SPDX-License-Identifier: MIT
// The projected steps of one image, by one block or by several that share its rows out. eta lives in `out`; a
// thread touches the same elements every time, so no barrier is needed between one step and the next.
#pragma once

#include "cuda/arguments.cuh"
#include "cuda/reduce.cuh"

namespace yopo::cuda {

// Rows (channel, line) that this warp owns: first, first + step, ...
struct RowShare {
    int first, step;
};

__device__ __forceinline__ RowShare rows_of_one_block() {
    return {warp_index(), warp_count()};
}

__device__ __forceinline__ bool is_infinite(float value) {
    return value == INFINITY || value == -INFINITY;
}

class Update {
  public:
    // gradient: g of this image, (C, H, W); scratch: one double per thread, for Norm::l2 only
    __device__ Update(const AscentArguments& arguments, std::int64_t image, const float* gradient,
                      RowShare rows, double* scratch)
        : a_(arguments), image_(image), gradient_(gradient), rows_(rows), scratch_(scratch) {}

    // out = the projection of eta.
    __device__ void enter() const {
        double squares = 0;
        for_each([&](int c, int i, int j) {
            float eta = a_.eta.data[offset(a_.eta.strides, c, i, j)];
            const float x = image_at(c, i, j);
            if (a_.boxed) eta = nan_where(x, eta);
            if (a_.norm == Norm::linf) eta = clamp(eta, interval(c, x));
            squares += finite_square(eta);
            out(c, i, j) = eta;
        });
        if (a_.norm == Norm::l2) scale_into_ball(squares);
    }

    // `steps` steps along the gradient.
    __device__ void step(std::int64_t steps) const {
        if (a_.norm == Norm::linf) {
            for_each([&](int c, int i, int j) { ascend(c, i, j, steps); });
            return;
        }
        const float norm = gradient_norm();
        if (!(norm < INFINITY)) return;
        const float length = norm > 1e-12f ? norm : 1e-12f;
        for (std::int64_t n = 0; n < steps; ++n) step_l2(a_.direction == Direction::sign ? length : 1.0f);
    }

  private:
    template <class Body>
    __device__ __forceinline__ void for_each(Body body) const {
        const ConvShape& s = a_.layer.shape;
        for (int row = rows_.first; row < s.in_channels * s.height; row += rows_.step) {
            const int c = row / s.height;
            for (int j = lane_index(); j < s.width; j += 32) body(c, row - c * s.height, j);
        }
    }

    __device__ __forceinline__ std::int64_t offset(const Strides& s, int c, int i, int j) const {
        return image_ * s.n + c * s.c + i * s.h + j * s.w;
    }
    __device__ __forceinline__ float image_at(int c, int i, int j) const {
        return a_.x.data[offset(a_.x.strides, c, i, j)];
    }
    __device__ __forceinline__ float& out(int c, int i, int j) const {
        return a_.out.data[offset(a_.out.strides, c, i, j)];
    }
    __device__ __forceinline__ float gradient_at(int c, int i, int j) const {
        const ConvShape& s = a_.layer.shape;
        return gradient_[(c * s.height + i) * s.width + j];
    }

    __device__ __forceinline__ Interval<float> interval(int c, float x) const {
        const float eps = a_.budget.at(eps_row, c);
        return a_.boxed ? ball_in_box(eps, x, a_.budget.at(low_row, c), a_.budget.at(high_row, c))
                        : ball(eps);
    }

    __device__ __forceinline__ void ascend(int c, int i, int j, std::int64_t steps) const {
        const float g = gradient_at(c, i, j);
        const float delta =
            rounded_product(a_.budget.at(alpha_row, c), a_.direction == Direction::sign ? sign(g) : g);
        const Interval<float> feasible = interval(c, image_at(c, i, j));
        float eta = out(c, i, j);
        for (std::int64_t n = 0; n < steps; ++n) eta = clamp(moved(eta, delta), feasible);
        out(c, i, j) = eta;
    }

    // ---- l2: per sample, sums in double ----

    __device__ __forceinline__ double finite_square(float value) const {
        if (value != value) return 0;
        if (is_infinite(value)) value = a_.budget.at(eps_row, 0);
        return static_cast<double>(value) * value;
    }

    __device__ float gradient_norm() const {
        double squares = 0;
        for_each([&](int c, int i, int j) {
            const double g = gradient_at(c, i, j);
            squares += g * g;
        });
        return static_cast<float>(sqrt(block_sum(squares, scratch_)));
    }

    __device__ void step_l2(float length) const {
        const float alpha = a_.budget.at(alpha_row, 0);
        double squares = 0;
        for_each([&](int c, int i, int j) {
            const float eta = moved(out(c, i, j), rounded_product(alpha, gradient_at(c, i, j)) / length);
            squares += finite_square(eta);
            out(c, i, j) = eta;
        });
        scale_into_ball(squares);
    }

    // out = out * eps / max(norm, eps), then clamped to the box.
    __device__ void scale_into_ball(double squares) const {
        const float eps = a_.budget.at(eps_row, 0);
        const float norm = static_cast<float>(sqrt(block_sum(squares, scratch_)));
        const float scale = norm > eps ? eps / norm : 1.0f;
        for_each([&](int c, int i, int j) {
            float eta = out(c, i, j);
            if (eta == eta) {
                const float finite = is_infinite(eta) ? copysignf(eps, eta) : eta;
                eta = eps == 0.0f ? 0.0f : rounded_product(finite, scale);
            }
            out(c, i, j) = a_.boxed ? clamp(eta, box(c, image_at(c, i, j))) : eta;
        });
    }

    __device__ __forceinline__ Interval<float> box(int c, float x) const {
        return {a_.budget.at(low_row, c) - x, a_.budget.at(high_row, c) - x};
    }

    const AscentArguments& a_;
    std::int64_t image_;
    const float* gradient_;
    RowShare rows_;
    double* scratch_;
};

}  // namespace yopo::cuda
