// SPDX-License-Identifier: MIT
// Whether p can be read as flattened planes, by wide loads.
#pragma once

#include "cuda/costate_chunk.cuh"

namespace yopo::cuda {

struct FlatView {
    bool possible = false;
    Layout layout = Layout::planes;
    FlatCostate p{};
};

// NCHW and channels-last in any batch stride; what else there is goes through the general kernels.
inline FlatView flat_view(const Costate& p, const ConvShape& s) {
    const int out_height = s.out_height(), out_width = s.out_width();
    const Strides& t = p.strides;
    const std::int64_t row = out_height > 1 ? t.h : t.w * out_width;
    FlatView view;
    view.p = {p.data, t.n, t.c, t.w, out_height * out_width, s.out_channels, false, p.dtype};
    const auto aligned = [&](int elements) {  // a load of so many elements begins at a multiple of its size
        const std::int64_t bytes = elements * (p.dtype == DType::float32 ? 4 : 2);
        return reinterpret_cast<std::uintptr_t>(p.data) % bytes == 0 && t.n % elements == 0;
    };
    if (t.w == 1 && row == out_width) {
        view.possible = true;
        view.layout = Layout::planes;
        view.p.wide = aligned(4) && t.c % 4 == 0 && view.p.positions % 4 == 0;
    } else if (t.c == 1 && row == t.w * out_width) {
        const int elements = p.dtype == DType::float32 ? 4 : 8;
        view.layout = Layout::pixels;
        view.possible = aligned(elements) && t.w % elements == 0 && s.out_channels % 8 == 0;
        view.p.wide = view.possible;
    }
    return view;
}

}  // namespace yopo::cuda
