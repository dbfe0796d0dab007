// SPDX-License-Identifier: MIT
#include <algorithm>

#include "cuda/flat.h"
#include "cuda/launch.cuh"
#include "cuda/resident_kernel.cuh"
#include "cuda/resident_launch.h"

namespace yopo::cuda {
namespace {

using Small = ResidentSize<1, 1>;   // 3 x 3 on one channel
using Common = ResidentSize<2, 2>;  // 3 x 3 on two or three, 5 x 5 on one
using Large = ResidentSize<5, 5>;   // 3 x 3 on four, 5 x 5 on two or three

template <class Size>
bool holds(const ConvShape& s) {
    const SlotLayout slots(s, s.out_height(), s.out_width());
    return slots.pairs() <= 8 * Size::depth && taps_of(s) <= 16 * Size::tiles;
}

ChannelOrder order_of(const Costate& p, const ConvShape& s) {
    return {flat_view(p, s).layout, p.dtype == DType::float32};
}

struct Bytes {
    std::size_t shared, slot;
};

template <class Size>
Bytes measure(const ConvShape& s, ChannelOrder order, Placement placement) {
    Arena arena(nullptr), slot(nullptr);
    ResidentMemory(s, s.out_height(), s.out_width(), order, Size::depth, Size::tiles, placement, arena, slot);
    return {arena.used(), slot.used()};
}

// g, x and eta, and as much of p as there is room for: a step goes over g several times, over x and eta once,
// pixel by pixel, and over p once, sixteen bytes at a time.
template <class Size>
ResidentPlan place(const ConvShape& s, ChannelOrder order, const Device& device) {
    const int groups = ceil_div(s.out_height() * s.out_width(), group_positions);
    ResidentPlan plan;
    for (const Placement placement :
         {Placement{groups, true, true}, Placement{groups, true, false}, Placement{groups, false, false}}) {
        plan.placement = placement;
        const std::size_t wanted = measure<Size>(s, order, plan.placement).shared;
        const std::size_t group = sizeof(uint4) * 64 * order.blocks(s.out_channels);
        if (wanted > device.shared_bytes) {
            const std::size_t over = (wanted - device.shared_bytes + group - 1) / group;
            if (over > static_cast<std::size_t>(groups)) continue;
            plan.placement.groups = groups - static_cast<int>(over);
        }
        const Bytes bytes = measure<Size>(s, order, plan.placement);
        plan.shared_bytes = bytes.shared;
        const bool whole = plan.placement.groups == groups && placement.image;
        plan.slot_bytes = whole ? 0 : (bytes.slot + 127) / 128 * 128;  // full cache lines
        break;
    }
    // One block runs on a multiprocessor: more slots than those would only spread over L2.
    plan.blocks = plan.slot_bytes ? std::min(s.batch, device.multiprocessors) : s.batch;
    return plan;
}

// Calls body with the smallest size that holds the taps, if there is one.
template <class Body>
void with_size(const ConvShape& s, Body body) {
    if (holds<Small>(s)) return body(Small{});
    if (holds<Common>(s)) return body(Common{});
    if (holds<Large>(s)) return body(Large{});
}

template <class Size>
Status launch_size(const ResidentArguments& a, const ResidentPlan& plan, void* stream) {
    const Launch l{static_cast<unsigned>(plan.blocks), 1, resident_threads, plan.shared_bytes};
    if (a.ascent.layer.activation == Activation::relu)
        return launch(l, stream, resident_kernel<Size, HalfMask>, a);
    return launch(l, stream, resident_kernel<Size, HalfSlopes>, a);
}

}  // namespace

ResidentPlan plan_resident(const InnerAscent& problem, const Device& device) {
    const ConvShape& s = problem.layer.shape;
    const SlotLayout slots(s, s.out_height(), s.out_width());
    const bool taken = device.architecture >= 80 && problem.layer.activation != Activation::identity &&
                       slope_is_moderate(problem.layer) && flat_view(problem.p, s).possible &&
                       slots.words() < 65536;
    ResidentPlan plan;
    if (taken) {
        with_size(s, [&](auto size) { plan = place<decltype(size)>(s, order_of(problem.p, s), device); });
    }
    return plan;
}

Status launch_resident(const AscentArguments& a, const ResidentPlan& plan, void* stream) {
    const FlatView view = flat_view(a.p, a.layer.shape);
    const ResidentArguments arguments{a, view.p, order_of(a.p, a.layer.shape), plan.placement,
                                      plan.slot_bytes};
    Status status;
    with_size(a.layer.shape,
              [&](auto size) { status = launch_size<decltype(size)>(arguments, plan, stream); });
    return status;
}

}  // namespace yopo::cuda
