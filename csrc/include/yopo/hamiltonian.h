// SPDX-License-Identifier: MIT
#pragma once

#include "yopo/cpu_options.h"
#include "yopo/cuda_options.h"
#include "yopo/first_layer.h"
#include "yopo/status.h"

namespace yopo {

struct Hamiltonian {
    FirstLayer layer;
    Images u;
    Costate p;
};

// Where the gradients of H go; a null pointer: not wanted.
struct HamiltonianGradients {
    float* weight = nullptr;  // (K, C, kh, kw)
    float* bias = nullptr;    // (K,)
    MutableImages input;      // (B, C, H, W)
};

// H(u, p) = sum of p * f0(u)
Status hamiltonian_cpu(const Hamiltonian& problem, float* value, const CpuOptions& options);

// dH/dW, dH/db, dH/du. Sums are formed in an order that depends on shapes alone, not on the number of
// threads.
Status hamiltonian_gradients_cpu(const Hamiltonian& problem, const HamiltonianGradients& gradients,
                                 const CpuOptions& options);

// The same on a GPU, asynchronous; `value` and the gradients are device addresses. Sums have a fixed order
// here too.
Status hamiltonian_cuda(const Hamiltonian& problem, float* value, const CudaOptions& options);
std::size_t hamiltonian_cuda_workspace(const Hamiltonian& problem, const CudaOptions& options);
Status hamiltonian_gradients_cuda(const Hamiltonian& problem, const HamiltonianGradients& gradients,
                                  const CudaOptions& options);
std::size_t hamiltonian_gradients_cuda_workspace(const Hamiltonian& problem, const CudaOptions& options);

}  // namespace yopo
