// SPDX-License-Identifier: MIT
#include "cuda/flat.h"
#include "cuda/launch.cuh"
#include "cuda/linear_fma.cuh"
#include "cuda/linear_launch.h"
#include "cuda/linear_mma.cuh"

namespace yopo::cuda {
namespace {

constexpr int most_rounds = 6;  // a round reads p again, from L2; beyond this the general path is as good

template <class Memory>
std::size_t shared_bytes(const ConvShape& shape) {
    Arena measure(nullptr);
    Memory memory(shape, measure);
    return memory.rounds <= most_rounds ? measure.used() : ~std::size_t{0};
}

template <class Chunk>
Status launch_mma(const LinearArguments& a, void* stream) {
    const ConvShape& s = a.ascent.layer.shape;
    const Launch l{static_cast<unsigned>(s.batch), 1, LinearMma::threads, shared_bytes<LinearMmaMemory>(s)};
    return launch(l, stream, linear_mma_kernel<Chunk>, a);
}

template <class Chunk>
Status launch_fma(const LinearArguments& a, void* stream) {
    const ConvShape& s = a.ascent.layer.shape;
    const Launch l{static_cast<unsigned>(s.batch), 1, LinearFma::threads, shared_bytes<LinearFmaMemory>(s)};
    return launch(l, stream, linear_fma_kernel<Chunk>, a);
}

template <Layout layout>
Status launch_layout(const LinearArguments& a, LinearKernel kernel, void* stream) {
    const bool mma = kernel == LinearKernel::mma;
    switch (a.p.dtype) {
        case DType::float32:
            return mma ? launch_mma<CostateChunk<DType::float32, layout>>(a, stream)
                       : launch_fma<CostateChunk<DType::float32, layout>>(a, stream);
        case DType::bfloat16:
            return mma ? launch_mma<CostateChunk<DType::bfloat16, layout>>(a, stream)
                       : launch_fma<EitherHalfChunk<layout>>(a, stream);
        default:
            return mma ? launch_mma<CostateChunk<DType::float16, layout>>(a, stream)
                       : launch_fma<EitherHalfChunk<layout>>(a, stream);
    }
}

}  // namespace

LinearKernel choose_linear(const ConvShape& shape, const Costate& p, Norm norm, Precision precision,
                           const Device& device) {
    if (!flat_view(p, shape).possible) return LinearKernel::none;
    const bool mma = precision == Precision::high && device.architecture >= 80;
    if (mma && takes_rows(shape, p, norm, device)) return LinearKernel::rows;
    if (mma && takes_patches(shape, p, norm, device)) return LinearKernel::patches;
    if (mma && shared_bytes<LinearMmaMemory>(shape) <= device.shared_bytes) return LinearKernel::mma;
    return shared_bytes<LinearFmaMemory>(shape) <= device.shared_bytes ? LinearKernel::fma
                                                                       : LinearKernel::none;
}

Status launch_linear(const AscentArguments& a, LinearKernel kernel, void* stream) {
    if (kernel == LinearKernel::rows) return launch_rows(a, stream);
    if (kernel == LinearKernel::patches) return launch_patches(a, stream);
    const FlatView view = flat_view(a.p, a.layer.shape);
    const LinearArguments arguments{a, view.p};
    return view.layout == Layout::planes ? launch_layout<Layout::planes>(arguments, kernel, stream)
                                         : launch_layout<Layout::pixels>(arguments, kernel, stream);
}

}  // namespace yopo::cuda
