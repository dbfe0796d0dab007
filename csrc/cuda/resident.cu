// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

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

template <class Size>
std::size_t shared_bytes(const ConvShape& s, ChannelOrder order) {
    Arena measure(nullptr);
    ResidentMemory(s, s.out_height(), s.out_width(), order, Size::depth, Size::tiles, measure);
    return measure.used();
}

// Calls body with the smallest size that holds the taps; false if none does.
template <class Body>
bool with_size(const ConvShape& s, Body body) {
    if (holds<Small>(s)) return body(Small{}), true;
    if (holds<Common>(s)) return body(Common{}), true;
    if (holds<Large>(s)) return body(Large{}), true;
    return false;
}

// Products with act' must stay within half precision; see scale_for.
bool slope_is_moderate(const FirstLayer& layer) {
    const ActivationParameters& p = layer.parameters;
    const bool scaled = layer.activation == Activation::leaky_relu || layer.activation == Activation::elu;
    return !scaled || std::max({std::abs(p.a), std::abs(p.a * p.b), std::abs(p.c)}) <= 16.0f;
}

template <class Size>
Status launch_size(const ResidentArguments& a, void* stream) {
    const ConvShape& s = a.ascent.layer.shape;
    const Launch l{static_cast<unsigned>(s.batch), 1, resident_threads, shared_bytes<Size>(s, a.order)};
    if (a.ascent.layer.activation == Activation::relu)
        return launch(l, stream, resident_kernel<Size, ReluSlope>, a);
    return launch(l, stream, resident_kernel<Size, AnySlope>, a);
}

}  // namespace

bool can_be_resident(const InnerAscent& problem, const Device& device) {
    const ConvShape& s = problem.layer.shape;
    const SlotLayout slots(s, s.out_height(), s.out_width());
    const bool taken = device.architecture >= 80 && problem.layer.activation != Activation::identity &&
                       slope_is_moderate(problem.layer) && flat_view(problem.p, s).possible &&
                       slots.words() < 65536;
    const ChannelOrder order = order_of(problem.p, s);
    bool fits = false;
    return taken &&
           with_size(
               s, [&](auto size) { fits = shared_bytes<decltype(size)>(s, order) <= device.shared_bytes; }) &&
           fits;
}

Status launch_resident(const AscentArguments& a, void* stream) {
    const FlatView view = flat_view(a.p, a.layer.shape);
    Status status;
    with_size(a.layer.shape, [&](auto size) {
        status = launch_size<decltype(size)>({a, view.p, order_of(a.p, a.layer.shape)}, stream);
    });
    return status;
}

}  // namespace yopo::cuda
