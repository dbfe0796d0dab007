// SPDX-License-Identifier: MIT
// The feasible interval of a perturbation and one projected step (l-infinity), for T = float or a vector of
// float. Clamping is by comparison, because fminf/fmaxf would lose NaN; "upper wins" where the interval is
// empty.
#pragma once

#include "math/portability.h"

namespace yopo {

template <class T>
struct Interval {
    T lower, upper;
};

template <class T>
YOPO_FUNCTION Interval<T> ball(T eps) {
    return {-eps, eps};
}

// The ball cut down to the box [low, high] around x. With a NaN x it is the ball; see enter().
template <class T>
YOPO_FUNCTION Interval<T> ball_in_box(T eps, T x, T low, T high) {
    const T below = low - x, above = high - x;
    return {below > -eps ? below : -eps, above < eps ? above : eps};
}

template <class T>
YOPO_FUNCTION T clamp(T value, Interval<T> feasible) {
    value = value < feasible.lower ? feasible.lower : value;
    return value > feasible.upper ? feasible.upper : value;
}

// A perturbation is NaN from the start where the image is, if there is a box to be inside of.
template <class T>
YOPO_FUNCTION T nan_where(T x, T eta) {
    return x == x ? eta : x;
}

// sign(0) = sign(NaN) = 0
template <class T>
YOPO_FUNCTION T sign(T g) {
    const T zero = T{}, one = T{} + 1.0f;
    return g > zero ? one : (g < zero ? -one : zero);
}

// eta + delta, or eta where that is NaN: a gradient that is not finite moves nothing outside the number
// range.
template <class T>
YOPO_FUNCTION T moved(T eta, T delta) {
    const T sum = eta + delta;
    return sum == sum ? sum : eta;
}

}  // namespace yopo
