// SPDX-License-Identifier: MIT
// How the taps of a convolution are paired for a half-precision product: two multiplicands to a 32-bit word.
//
// Channels are taken two at a time, so a word holds both at one pixel; an odd last channel is paired with
// itself, one dilation to the right. Each pair of taps is then one aligned load at a fixed distance from the
// output's corner.
#pragma once

#include "cuda/tile.cuh"

namespace yopo::cuda {

struct SlotLayout {
    int kernel_h, kernel_w, channels, dilation_h, dilation_w;
    int rows, pitch;  // of a plane of words

    YOPO_FUNCTION SlotLayout(const ConvShape& s, int out_height, int out_width)
        : kernel_h(s.kernel_h),
          kernel_w(s.kernel_w),
          channels(s.in_channels),
          dilation_h(s.dilation_h),
          dilation_w(s.dilation_w) {
        rows = (out_height - 1) * s.stride_h + s.dilation_h * (s.kernel_h - 1) + 1;
        // The word of an odd channel's last pair may lie one dilation beyond.
        pitch = (out_width - 1) * s.stride_w + s.dilation_w * s.kernel_w + 1;
        // Four lanes read taps side by side: with this remainder they meet four different banks, also across
        // rows.
        while (pitch % 4 != kernel_w % 4) ++pitch;
    }

    YOPO_FUNCTION int full_planes() const { return channels / 2; }
    YOPO_FUNCTION int planes() const { return (channels + 1) / 2; }
    YOPO_FUNCTION int pairs() const {
        return kernel_h * (full_planes() * kernel_w + channels % 2 * ((kernel_w + 1) / 2));
    }
    YOPO_FUNCTION int words() const { return planes() * rows * pitch; }
};

struct Slot {
    int offset;   // of its word from the corner
    int taps[2];  // (c * kh + dy) * kw + dx of the low and the high half; -1: none

    YOPO_FUNCTION Slot(const SlotLayout& l, int pair) : offset(0), taps{-1, -1} {
        if (pair >= l.pairs()) return;
        const int of_plane = l.kernel_h * l.kernel_w, full = l.full_planes() * of_plane;
        if (pair < full) {
            const int plane = pair / of_plane, tap = pair % of_plane;
            offset = (plane * l.rows + tap / l.kernel_w * l.dilation_h) * l.pitch +
                     tap % l.kernel_w * l.dilation_w;
            taps[0] = 2 * plane * of_plane + tap;
            taps[1] = taps[0] + of_plane;
            return;
        }
        const int across = (l.kernel_w + 1) / 2, dy = (pair - full) / across, dx = (pair - full) % across * 2;
        offset = (l.full_planes() * l.rows + dy * l.dilation_h) * l.pitch + dx * l.dilation_w;
        taps[0] = ((l.channels - 1) * l.kernel_h + dy) * l.kernel_w + dx;
        taps[1] = dx + 1 < l.kernel_w ? taps[0] + 1 : -1;
    }
};

}  // namespace yopo::cuda
