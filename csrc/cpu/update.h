// SPDX-License-Identifier: MIT
// The projected steps on one image, row by row, once its gradient G is complete.
#pragma once

#include <cmath>

#include "cpu/input.h"
#include "math/interval.h"
#include "yopo/inner_ascent.h"

namespace yopo::cpu {

// The rows of G that belong to the pixels of channel c, row i, brought together from its phases and divided
// by std.
template <class I>
void gradient_row(const Plan& plan, const Normalization& normalization, const float* gradient, int c, int i,
                  float* row) {
    const ConvShape& s = plan.shape;
    const int y = i + s.padding_h;
    const int plane_row = y / s.stride_h;
    if (plane_row >= plan.out_height + plan.reach_h) {
        std::memset(row, 0, s.width * sizeof(float));
        return;
    }
    const float* planes = gradient + c * plan.phases * plan.g_plane + plane_row * plan.pitch;
    for (int j = 0; j < s.width; ++j) {
        const int x = j + s.padding_w;
        const int phase = y % s.stride_h * s.stride_w + x % s.stride_w;
        const int column = x / s.stride_w;
        row[j] = column < plan.pitch ? planes[phase * plan.g_plane + column] : 0.0f;
    }
    if (normalization.std) {
        for (int j = 0; j < s.width; ++j) row[j] /= normalization.std[c];
    }
}

// The three rows a thread works on at a time, each rounded up to whole vectors.
struct RowBuffers {
    float *x, *eta, *g;
};

template <class I>
struct Update {
    using V = typename I::V;

    const InnerAscent& problem;
    const Plan& plan;
    std::int64_t image;
    RowBuffers rows;

    // out = the projection of eta.
    void enter() const {
        double squares = 0;
        for_each_row([&](int c, int i) {
            load_rows(problem.eta.data, problem.eta.strides, c, i);
            mark_nan();
            if (problem.norm == Norm::l2)
                squares += finite_squares(rows.eta);
            else
                clamp_row(c);
            store_row(c, i);
        });
        if (problem.norm == Norm::l2) scale_into_ball(squares);
    }

    // `steps` steps along the same G.
    void step(const float* gradient, std::int64_t steps) const {
        if (problem.norm == Norm::linf) {
            for_each_row([&](int c, int i) {
                load_rows(problem.out.data, problem.out.strides, c, i);
                gradient_row<I>(plan, problem.layer.normalization, gradient, c, i, rows.g);
                problem.direction == Direction::sign ? ascend_row<true>(c, steps)
                                                     : ascend_row<false>(c, steps);
                store_row(c, i);
            });
            return;
        }
        const double norm = gradient_norm(gradient);
        if (!std::isfinite(norm)) return;
        const double scale = problem.direction == Direction::gradient ? 1.0 : norm > 0 ? 1.0 / norm : 0.0;
        for (std::int64_t n = 0; n < steps; ++n) step_l2(gradient, scale);
    }

  private:
    template <class Body>
    YOPO_FUNCTION void for_each_row(Body body) const {
        for (int c = 0; c < plan.shape.in_channels; ++c) {
            for (int i = 0; i < plan.shape.height; ++i) body(c, i);
        }
    }

    void load_rows(const float* eta, const Strides& strides, int c, int i) const {
        const int width = plan.shape.width;
        copy_row(row_of(problem.x.data, problem.x.strides, image, c, i), problem.x.strides.w, width, rows.x);
        copy_row(row_of(eta, strides, image, c, i), strides.w, width, rows.eta);
    }

    void store_row(int c, int i) const {
        const Strides& s = problem.out.strides;
        scatter_row(rows.eta, plan.shape.width, row_of(problem.out.data, s, image, c, i), s.w);
    }

    bool boxed() const { return problem.budget.low != nullptr; }

    void mark_nan() const {
        if (!boxed()) return;
        for (int j = 0; j < plan.row_floats; j += I::lanes) {
            store(rows.eta + j, nan_where(load<V>(rows.x + j), load<V>(rows.eta + j)));
        }
    }

    YOPO_FUNCTION Interval<V> interval(int c, V x) const {
        const V eps = broadcast<V>(problem.budget.eps[c]);
        if (!boxed()) return ball(eps);
        return ball_in_box(eps, x, broadcast<V>(problem.budget.low[c]), broadcast<V>(problem.budget.high[c]));
    }

    void clamp_row(int c) const {
        for (int j = 0; j < plan.row_floats; j += I::lanes) {
            store(rows.eta + j, clamp(load<V>(rows.eta + j), interval(c, load<V>(rows.x + j))));
        }
    }

    template <bool by_sign>
    void ascend_row(int c, std::int64_t steps) const {
        const float alpha = problem.budget.alpha[c];
        for (int j = 0; j < plan.row_floats; j += I::lanes) {
            const Interval<V> feasible = interval(c, load<V>(rows.x + j));
            const V g = load<V>(rows.g + j);
            const V delta = alpha * (by_sign ? sign(g) : g);
            V eta = load<V>(rows.eta + j);
            for (std::int64_t n = 0; n < steps; ++n) eta = clamp(moved(eta, delta), feasible);
            store(rows.eta + j, eta);
        }
    }

    // ---- l2: per sample, sums in double ----

    double finite_squares(const float* row) const {
        double total = 0;
        const float eps = problem.budget.eps[0];
        for (int j = 0; j < plan.shape.width; ++j) {
            const float value = std::isinf(row[j]) ? eps : row[j];
            if (value == value) total += static_cast<double>(value) * value;
        }
        return total;
    }

    double gradient_norm(const float* gradient) const {
        double squares = 0;
        for_each_row([&](int c, int i) {
            gradient_row<I>(plan, problem.layer.normalization, gradient, c, i, rows.g);
            for (int j = 0; j < plan.shape.width; ++j) squares += static_cast<double>(rows.g[j]) * rows.g[j];
        });
        return std::sqrt(squares);
    }

    // One step of alpha * g * scale. The scale reaches 1e45, g as far down: their product is made in double.
    void step_l2(const float* gradient, double scale) const {
        const float alpha = problem.budget.alpha[0];
        double squares = 0;
        for_each_row([&](int c, int i) {
            load_rows(problem.out.data, problem.out.strides, c, i);
            gradient_row<I>(plan, problem.layer.normalization, gradient, c, i, rows.g);
            for (int j = 0; j < plan.shape.width; ++j) rows.g[j] = static_cast<float>(rows.g[j] * scale);
            for (int j = 0; j < plan.row_floats; j += I::lanes) {
                store(rows.eta + j, moved(load<V>(rows.eta + j), alpha * load<V>(rows.g + j)));
            }
            squares += finite_squares(rows.eta);
            store_row(c, i);
        });
        scale_into_ball(squares);
    }

    // out = out * eps / max(norm, eps), then clamped to the box.
    void scale_into_ball(double squares) const {
        const float eps = problem.budget.eps[0];
        const float norm = static_cast<float>(std::sqrt(squares));
        const float scale = norm > eps ? eps / norm : 1.0f;
        for_each_row([&](int c, int i) {
            load_rows(problem.out.data, problem.out.strides, c, i);
            for (int j = 0; j < plan.shape.width; ++j) {
                const float value = rows.eta[j];
                if (value != value) continue;
                const float finite = std::isinf(value) ? std::copysign(eps, value) : value;
                rows.eta[j] = eps == 0.0f ? 0.0f : finite * scale;
            }
            if (boxed()) clamp_to_box(c);
            store_row(c, i);
        });
    }

    void clamp_to_box(int c) const {
        const V low = broadcast<V>(problem.budget.low[c]), high = broadcast<V>(problem.budget.high[c]);
        for (int j = 0; j < plan.row_floats; j += I::lanes) {
            const V x = load<V>(rows.x + j);
            store(rows.eta + j, clamp(load<V>(rows.eta + j), Interval<V>{low - x, high - x}));
        }
    }
};

}  // namespace yopo::cpu
