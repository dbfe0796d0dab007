// SPDX-License-Identifier: MIT
#include "cuda/refusal.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cuda/arguments.cuh"
#include "cuda/plan.h"
#include "yopo/cuda_options.h"

namespace yopo {
namespace cuda {
namespace {

// Kernels count the elements of one image, of its co-state and of the weight in 32 bits, some of them past
// the last one.
constexpr std::int64_t most_elements = 1 << 30;

// Sizes have at most 31 bits, so a product of two is exact here.
bool counts_too_many(const ConvShape& s) {
    const std::int64_t rows = s.height + 2ll * s.padding_h, columns = s.width + 2ll * s.padding_w;
    const std::int64_t taps = static_cast<std::int64_t>(s.kernel_h) * s.kernel_w;
    if (std::max({rows, columns, rows * columns, taps}) > most_elements) return true;
    const std::int64_t weights = taps * s.in_channels;
    if (rows * columns * s.in_channels > most_elements || weights > most_elements) return true;
    const std::int64_t positions = static_cast<std::int64_t>(s.out_height()) * s.out_width();
    return std::max(weights, positions) * s.out_channels > most_elements;
}

}  // namespace

std::string refusal(const ConvShape& shape, bool hamiltonian, const Device& device) {
    if (shape.in_channels > max_channels) {
        return "it takes images of up to " + std::to_string(max_channels) + " channels, not " +
               std::to_string(shape.in_channels);
    }
    if (counts_too_many(shape)) {
        return "it takes padded images, co-states of one image and weights of up to 2^30 elements each";
    }
    const TilePlan tiles = plan_tiles(shape, device);
    const BandPlan bands = hamiltonian ? plan_bands(shape, device) : BandPlan{};
    if (!tiles.fits() || (hamiltonian && !bands.fits())) {
        return "a " + std::to_string(shape.kernel_h) + " x " + std::to_string(shape.kernel_w) +
               " kernel on " + std::to_string(shape.width) + " columns does not fit the " +
               std::to_string(device.shared_bytes / 1024) + " KB of shared memory of a block";
    }
    const std::int64_t blocks = static_cast<std::int64_t>(shape.batch) *
                                ceil_div(shape.height, tiles.tile.rows) *
                                ceil_div(shape.width, tiles.tile.columns);
    const std::int64_t all_bands = static_cast<std::int64_t>(shape.batch) * bands.bands;
    if (std::max(blocks, all_bands) > std::numeric_limits<int>::max())
        return "the batch has too many tiles for one launch";
    return {};
}

}  // namespace cuda

std::string cuda_refusal(const ConvShape& shape, bool hamiltonian, int index) {
    cuda::Device device;
    const Status status = cuda::describe(index, device);
    return status.ok() ? cuda::refusal(shape, hamiltonian, device) : status.message;
}

}  // namespace yopo
