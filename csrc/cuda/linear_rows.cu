// SPDX-License-Identifier: MIT
#include "cuda/flat.h"
#include "cuda/launch.cuh"
#include "cuda/linear_launch.h"
#include "cuda/linear_rows.cuh"

namespace yopo::cuda {
namespace {

template <class Row>
std::size_t shared_bytes(int channels) {
    Arena measure(nullptr);
    LinearRowsMemory(ceil_div(channels, Row::channels), Row::products, measure);
    return measure.used();
}

// Calls visit(a row of p's type and layout).
template <class Visit>
auto visit_row(DType dtype, Layout layout, Visit visit) {
    const bool planes = layout == Layout::planes;
    switch (dtype) {
        case DType::float32:
            return planes ? visit(CostateRow<DType::float32, Layout::planes>{})
                          : visit(CostateRow<DType::float32, Layout::pixels>{});
        case DType::bfloat16:
            return planes ? visit(CostateRow<DType::bfloat16, Layout::planes>{})
                          : visit(CostateRow<DType::bfloat16, Layout::pixels>{});
        default:
            return planes ? visit(CostateRow<DType::float16, Layout::planes>{})
                          : visit(CostateRow<DType::float16, Layout::pixels>{});
    }
}

std::size_t shared_bytes(const FlatView& view) {
    return visit_row(view.p.dtype, view.layout,
                     [&](auto row) { return shared_bytes<decltype(row)>(view.p.channels); });
}

}  // namespace

bool takes_rows(const ConvShape& shape, const Costate& p, Norm norm, const Device& device) {
    const FlatView view = flat_view(p, shape);
    if (!LinearRows::takes(shape) || norm != Norm::linf || !view.possible || !view.p.wide) return false;
    const std::int64_t stride = view.layout == Layout::planes ? view.p.channel : view.p.position;
    const bool without_gaps = stride == (view.layout == Layout::planes ? view.p.positions : view.p.channels);
    return without_gaps && shared_bytes(view) <= device.shared_bytes;
}

Status launch_rows(const AscentArguments& a, void* stream) {
    const ConvShape& s = a.layer.shape;
    const FlatView view = flat_view(a.p, s);
    const LinearRowsArguments arguments{a, view.p, quad_access(a.x.data, a.x.strides, s.in_channels),
                                        quad_access(a.eta.data, a.eta.strides, s.in_channels),
                                        quad_access(a.out.data, a.out.strides, s.in_channels)};
    const Launch l{static_cast<unsigned>(s.batch), 1, LinearRows::threads, shared_bytes(view)};
    return visit_row(view.p.dtype, view.layout, [&](auto row) {
        return launch(l, stream, linear_rows_kernel<decltype(row)>, arguments);
    });
}

}  // namespace yopo::cuda
