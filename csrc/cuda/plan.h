// SPDX-License-Identifier: MIT
// How a problem is cut: tiles that fit shared memory, bands of output rows, sections of the batch.
#pragma once

#include <cstddef>

#include "cuda/device.h"
#include "cuda/sweep_memory.cuh"

namespace yopo::cuda {

struct TilePlan {
    TileSize tile{0, 0};  // rows == 0: nothing fits
    std::size_t shared_bytes = 0;

    bool fits() const { return tile.rows > 0; }
};

// For g: the largest tile that fits. A linear layer needs no input, so its tiles may be larger.
TilePlan plan_tiles(const ConvShape& shape, const Device& device, bool linear = false);

struct BandPlan {
    TileSize band{0, 0};  // of pixels: enough shared memory for the rows below
    int bands = 0;        // of one image; 0: nothing fits
    int sections = 0;     // of the batch's bands, for the weight gradient
    int slices = 0;       // of a band, for the weight gradient's warps
    std::size_t shared_bytes = 0;

    bool fits() const { return bands > 0; }
};

// For sums over outputs: bands of whole output rows.
BandPlan plan_bands(const ConvShape& shape, const Device& device);

}  // namespace yopo::cuda
