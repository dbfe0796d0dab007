// SPDX-License-Identifier: MIT
#include "cuda/plan.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace yopo::cuda {
namespace {

std::size_t shared_bytes(const ConvShape& shape, TileSize tile, SweepUse use) {
    Arena measure(nullptr);
    SweepMemory(shape, shape.out_height(), shape.out_width(), tile, use, measure);
    return measure.used();
}

// The next smaller tile: keep rows long, down to a useful number of them.
bool shrink(TileSize& tile) {
    if (tile.rows > 8) {
        tile.rows = (tile.rows + 1) / 2;
    } else if (tile.columns > 16) {
        tile.columns = (tile.columns + 1) / 2;
    } else if (tile.rows > 1) {
        tile.rows = (tile.rows + 1) / 2;
    } else if (tile.columns > 1) {
        tile.columns = (tile.columns + 1) / 2;
    } else {
        return false;
    }
    return true;
}

// Eight warps share the groups of taps out, each over all outputs of a band or over a slice of them: as many
// slices as keep the warps busy, where the sum over the lanes that ends each slice is worth it.
int choose_slices(int groups, int outputs) {
    constexpr int warps = sweep_threads / 32, most_jobs = 4 * warps;
    constexpr int step_cost = 75, lanes_cost = 220;  // instructions: of 32 outputs, of the sum over lanes
    int best = 1;
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (int slices = 1; slices <= warps && (slices == 1 || groups * slices <= most_jobs); ++slices) {
        const std::int64_t steps = ceil_div(ceil_div(outputs, 32), slices);
        const std::int64_t cost = ceil_div(groups * slices, warps) * (steps * step_cost + lanes_cost);
        if (cost < least) best = slices, least = cost;
    }
    return best;
}

}  // namespace

TilePlan plan_tiles(const ConvShape& shape, const Device& device, bool linear) {
    // Pixels that see the same taps lie a stride apart; a thread takes four of them below each other.
    const int rows = std::max(32, block_rows * shape.stride_h);
    TileSize tile{std::min(shape.height, rows), std::min(shape.width, 64)};
    do {
        const std::size_t bytes = shared_bytes(shape, tile, for_adjoint(!linear));
        if (bytes <= device.shared_bytes) return {tile, bytes};
    } while (shrink(tile));
    return {};
}

BandPlan plan_bands(const ConvShape& shape, const Device& device) {
    // Few enough sections that their sums stay small beside the tensors themselves.
    constexpr std::int64_t most_partial_bytes = 32 << 20;
    constexpr int blocks_per_multiprocessor = 4;
    const std::int64_t sums =
        4ll * (shape.out_channels + 8) *
        (static_cast<std::int64_t>(shape.in_channels) * shape.kernel_h * shape.kernel_w + 1);
    BandPlan plan;
    const int out_height = shape.out_height();
    for (plan.bands = ceil_div(out_height, 32); plan.bands <= out_height; ++plan.bands) {
        const int rows = ceil_div(out_height, plan.bands);
        plan.band = {(rows - 1) * shape.stride_h + 1, (shape.out_width() - 1) * shape.stride_w + 1};
        plan.slices = choose_slices(tap_groups(shape), rows * shape.out_width());
        plan.shared_bytes = shared_bytes(shape, plan.band, for_weights(true, plan.slices));
        if (plan.shared_bytes <= device.shared_bytes) {
            plan.bands = ceil_div(out_height, rows);
            const std::int64_t all = static_cast<std::int64_t>(plan.bands) * shape.batch;
            const int chunks = ceil_div(shape.out_channels, chunk_channels);
            const std::int64_t wanted = ceil_div(blocks_per_multiprocessor * device.multiprocessors, chunks);
            plan.sections = static_cast<int>(
                std::max<std::int64_t>(std::min({all, wanted, most_partial_bytes / sums}), 1));
            return plan;
        }
    }
    return {};
}

}  // namespace yopo::cuda
