// SPDX-License-Identifier: MIT
#include "cuda/refusal.h"

#include <cstdint>
#include <limits>

#include "cuda/arguments.cuh"
#include "cuda/plan.h"
#include "yopo/cuda_options.h"

namespace yopo {
namespace cuda {

std::string refusal(const ConvShape& shape, bool hamiltonian, const Device& device) {
    if (shape.in_channels > max_channels) {
        return "it takes images of up to " + std::to_string(max_channels) + " channels, not " +
               std::to_string(shape.in_channels);
    }
    const TilePlan tiles = plan_tiles(shape, device);
    if (!tiles.fits() || (hamiltonian && !plan_bands(shape, device).fits())) {
        return "a " + std::to_string(shape.kernel_h) + " x " + std::to_string(shape.kernel_w) +
               " kernel on " + std::to_string(shape.width) + " columns does not fit the " +
               std::to_string(device.shared_bytes / 1024) + " KB of shared memory of a block";
    }
    const std::int64_t blocks = static_cast<std::int64_t>(shape.batch) *
                                ceil_div(shape.height, tiles.tile.rows) *
                                ceil_div(shape.width, tiles.tile.columns);
    if (blocks > std::numeric_limits<int>::max()) return "the batch has too many tiles for one launch";
    return {};
}

}  // namespace cuda

std::string cuda_refusal(const ConvShape& shape, bool hamiltonian, int index) {
    cuda::Device device;
    const Status status = cuda::describe(index, device);
    return status.ok() ? cuda::refusal(shape, hamiltonian, device) : status.message;
}

}  // namespace yopo
