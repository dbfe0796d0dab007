// SPDX-License-Identifier: MIT
#include "cpu/plan.h"

#include <algorithm>

namespace yopo::cpu {
namespace {

constexpr std::size_t kResidentLimit =
    1u << 20;                          // bytes of p that stay in the second-level cache beside the rest
constexpr int kBlockFloats = 8192;     // a block of q stays in the first-level cache
constexpr int kLeastTermsPerSum = 64;  // below, loading and storing G would cost more than adding to it

int round_up(int value, int multiple) {
    return (value + multiple - 1) / multiple * multiple;
}
int divide_up(int value, int divisor) {
    return (value + divisor - 1) / divisor;
}

void place_taps(Plan& plan) {
    const ConvShape& s = plan.shape;
    for (int phase = 0; phase < plan.phases; ++phase) {
        plan.first_of_phase.push_back(static_cast<int>(plan.taps.size()));
        for (int dy = 0; dy < s.kernel_h; ++dy) {
            for (int dx = 0; dx < s.kernel_w; ++dx) {
                const int y = dy * s.dilation_h, x = dx * s.dilation_w;
                if (y % s.stride_h * s.stride_w + x % s.stride_w != phase) continue;
                const int ahead = y / s.stride_h * plan.pitch + x / s.stride_w;
                plan.taps.push_back({dy * s.kernel_w + dx, phase, -ahead});
            }
        }
    }
    plan.first_of_phase.push_back(static_cast<int>(plan.taps.size()));
}

void choose_block(Plan& plan) {
    const ConvShape& s = plan.shape;
    const int taps_per_phase = divide_up(s.kernel_h * s.kernel_w, plan.phases);
    const int by_cache = kBlockFloats / plan.q_plane;
    const int by_terms = divide_up(kLeastTermsPerSum, taps_per_phase);
    const int wanted = std::max({by_cache, by_terms, 4});
    plan.block_channels = std::min(wanted / 4 * 4, round_up(std::max(s.out_channels, 1), 4));
}

void size_planes(Plan& plan, int band_rows, const PlanOptions& options) {
    const ConvShape& s = plan.shape;
    plan.band_rows = band_rows;
    plan.q_lead = round_up(plan.reach_h * plan.pitch + plan.reach_w, kSlack);
    plan.u_plane = round_up((band_rows + plan.reach_h) * plan.pitch + plan.reach_w, kSlack) + kSlack;
    plan.q_plane = plan.q_lead + round_up((band_rows + plan.reach_h) * plan.pitch, kSlack) + kSlack;
    plan.p_plane = round_up(band_rows * plan.pitch, kSlack) + kSlack;
    plan.g_plane = round_up((plan.out_height + plan.reach_h) * plan.pitch, kSlack) + kSlack;
    plan.row_floats = round_up(s.width, kSlack);
    choose_block(plan);

    const std::size_t planes = static_cast<std::size_t>(s.in_channels) * plan.phases;
    const std::size_t p_floats = static_cast<std::size_t>(s.out_channels) * plan.p_plane;
    plan.resident =
        options.reuse_p && band_rows == plan.out_height && p_floats * sizeof(float) <= kResidentLimit;
    plan.scratch_floats = static_cast<std::size_t>(plan.block_channels) * plan.q_plane + 3u * plan.row_floats;
    if (options.input) plan.scratch_floats += planes * plan.u_plane;
    if (options.gradient) plan.scratch_floats += planes * plan.g_plane;
    if (options.z) plan.scratch_floats += 4u * plan.p_plane;
    if (plan.resident) plan.scratch_floats += p_floats;
}

}  // namespace

Plan make_plan(const ConvShape& s, const PlanOptions& options) {
    Plan plan{};
    plan.shape = s;
    plan.out_height = s.out_height();
    plan.out_width = s.out_width();
    plan.phases = s.stride_h * s.stride_w;
    plan.reach_h = (s.kernel_h - 1) * s.dilation_h / s.stride_h;
    plan.reach_w = (s.kernel_w - 1) * s.dilation_w / s.stride_w;
    plan.pitch = plan.out_width + plan.reach_w;
    plan.first_row = std::min(s.padding_h / s.stride_h, plan.out_height + plan.reach_h);
    plan.last_row = std::min(divide_up(s.height + s.padding_h, s.stride_h), plan.out_height + plan.reach_h);
    place_taps(plan);

    const double limit = static_cast<double>(kScratchLimit) / sizeof(float);
    int band_rows = plan.out_height;
    // In double first, so that no size overflows before it is refused.
    const double least_planes =
        1.0 * s.in_channels * plan.phases * (plan.out_height + plan.reach_h) * plan.pitch;
    if (options.gradient && least_planes > limit) return plan;
    while (1.0 * (band_rows + 2 * plan.reach_h) * plan.pitch * std::max(4, s.in_channels * plan.phases) >
           4 * limit) {
        if (band_rows == 1) return plan;
        band_rows = divide_up(band_rows, 2);
    }
    for (;; band_rows = divide_up(band_rows, 2)) {
        size_planes(plan, band_rows, options);
        if (plan.scratch_floats <= limit) break;
        if (band_rows == 1) {
            plan.band_rows = 0;
            return plan;
        }
    }
    plan.input_offsets.resize(static_cast<std::size_t>(s.in_channels) * plan.taps.size());
    for (int c = 0; c < s.in_channels; ++c) {
        for (const Tap& tap : plan.taps) {
            plan.input_offsets[c * plan.taps.size() + tap.index] =
                (c * plan.phases + tap.phase) * plan.u_plane - static_cast<int>(tap.back);
        }
    }
    return plan;
}

}  // namespace yopo::cpu
