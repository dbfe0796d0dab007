// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "yopo/first_layer.h"
#include "yopo/status.h"

namespace yopo {

enum class Precision : int {
    highest,  // float32 multiply-accumulate
    high,     // multiplicands may be rounded to 10 mantissa bits
};

struct CudaOptions {
    int device = 0;
    void* stream = nullptr;  // a cudaStream_t of that device
    Precision precision = Precision::highest;
    // Whether the per-channel values (Budget, Normalization) lie on the device, one table each, rows
    // contiguous.
    bool budget_on_device = false, normalization_on_device = false;
    // Device memory for intermediate results: as many bytes as the operation's ..._workspace function says.
    void* workspace = nullptr;
};

// What there is machine code for, as in {80, 90}, and what there is PTX for.
std::vector<int> cuda_architectures();
std::vector<int> cuda_ptx();

// Why the CUDA kernels do not take this shape on this device for the inner ascent, or for the Hamiltonian and
// its gradients; empty if they do. The messages name limits and sizes.
std::string cuda_refusal(const ConvShape& shape, bool hamiltonian, int device);

}  // namespace yopo
