// SPDX-License-Identifier: MIT
#include <limits>

#include "cuda/flat.h"
#include "cuda/launch.cuh"
#include "cuda/linear_launch.h"
#include "cuda/patches.cuh"

namespace yopo::cuda {
namespace {

std::size_t shared_bytes() {
    Arena measure(nullptr);
    PatchMemory memory(measure);
    return measure.used();
}

std::int64_t tiles(const ConvShape& s) {
    const std::int64_t patches = static_cast<std::int64_t>(s.batch) * s.out_height() * s.out_width();
    const int taps = s.in_channels * s.kernel_h * s.kernel_w;
    return (patches + PatchTile::patches - 1) / PatchTile::patches * ceil_div(taps, PatchTile::taps);
}

// Every pixel belongs to one patch.
bool is_cut_into_patches(const ConvShape& s) {
    return s.stride_h == s.kernel_h && s.stride_w == s.kernel_w && s.padding_h == 0 && s.padding_w == 0 &&
           s.dilation_h == 1 && s.dilation_w == 1 && s.height % s.kernel_h == 0 && s.width % s.kernel_w == 0;
}

// Whether 32 bits hold every offset from the first image of a tile on.
bool offsets_fit(const FlatCostate& p) {
    const std::int64_t images = PatchTile::patches / p.positions + 2;
    return p.image >= 0 && p.position >= 0 &&
           images * p.image + p.positions * p.position < std::numeric_limits<std::uint32_t>::max();
}

template <DType dtype>
Status launch_layout(const PatchArguments& a, Layout layout, const Launch& l, void* stream) {
    return layout == Layout::planes
               ? launch(l, stream, patches_kernel<PatchCostate<dtype, Layout::planes>>, a)
               : launch(l, stream, patches_kernel<PatchCostate<dtype, Layout::pixels>>, a);
}

}  // namespace

bool takes_patches(const ConvShape& shape, const Costate& p, Norm norm, const Device& device) {
    constexpr int least_taps = 33;  // fewer are one round of the general kernel
    const FlatView view = flat_view(p, shape);
    return norm == Norm::linf && is_cut_into_patches(shape) && view.possible && offsets_fit(view.p) &&
           shape.in_channels * shape.kernel_h * shape.kernel_w >= least_taps &&
           tiles(shape) <= std::numeric_limits<int>::max() && shared_bytes() <= device.shared_bytes;
}

Status launch_patches(const AscentArguments& a, void* stream) {
    const ConvShape& s = a.layer.shape;
    const FlatView view = flat_view(a.p, s);
    const int taps = s.in_channels * s.kernel_h * s.kernel_w;
    PatchArguments arguments{};
    arguments.ascent = a;
    arguments.p = view.p;
    arguments.wide_weights = taps % 4 == 0 && reinterpret_cast<std::uintptr_t>(a.layer.weight) % 16 == 0;
    const auto wide = [&](const void* data, const Strides& t) {
        return quad_access(data, t, s.in_channels) == QuadAccess::lines;
    };
    arguments.wide_pixels = s.kernel_w % 4 == 0 && wide(a.x.data, a.x.strides) &&
                            wide(a.eta.data, a.eta.strides) && wide(a.out.data, a.out.strides);
    const Launch l{static_cast<unsigned>(tiles(s)), 1, PatchTile::threads, shared_bytes()};
    switch (view.p.dtype) {
        case DType::float32:
            return launch_layout<DType::float32>(arguments, view.layout, l, stream);
        case DType::bfloat16:
            return launch_layout<DType::bfloat16>(arguments, view.layout, l, stream);
        default:
            return launch_layout<DType::float16>(arguments, view.layout, l, stream);
    }
}

}  // namespace yopo::cuda
