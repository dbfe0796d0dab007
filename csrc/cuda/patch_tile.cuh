// SPDX-License-Identifier: MIT
// A tile of the patch embedding's matrix product in shared memory: 128 patches times 128 taps, 32 channels at
// a time, in fragment order, and how p and the weights come there.
//
// A slab's channel 4 j + i is column j of product i. Patch 4 q + i of 64 is row q of m tile i; tap 16 P + 4 t
// + 2 h + b is column 2 t + b of tile h of pair P: so whoever loads four neighbours of either stores without
// bank conflicts, and a lane's results are four neighbouring taps.
#pragma once

#include "cuda/costate_chunk.cuh"
#include "cuda/mma.cuh"
#include "cuda/tile.cuh"

namespace yopo::cuda {

struct PatchTile {
    static constexpr int threads = 128, warps = threads / 32;
    static constexpr int patches = 128, taps = 128, channels = 32, products = channels / 8;
    static constexpr int quads = 8;  // of a thread, in each operand
};

// Fragments of one slab. A: [m tile][product][lane], a word for each half of the rows and of the columns. B:
// [pair of n tiles][product][lane], a word for each tile and half of the columns.
struct PatchSlab {
    static constexpr int words = PatchTile::patches * PatchTile::channels;

    std::uint32_t* a;
    std::uint32_t* b;

    // Where the lane of row g and column t (mod 4) lies: turned, so that neither eight rows of a column nor
    // eight columns of a row meet in a bank.
    __device__ __forceinline__ static int place(int g, int t) { return 4 * g + (t ^ (g >> 1 & 3)); }
    __device__ __forceinline__ static int place_of_pair(int pair, int g, int t) {
        return place(g, t) ^ 4 * (pair & 1);
    }

    __device__ __forceinline__ void store_a(int m_tile, int row, int product, int column,
                                            std::uint32_t word) const {
        a[((m_tile * PatchTile::products + product) * 32 + place(row & 7, column & 3)) * 4 + (row >> 3) +
          2 * (column >> 2)] = word;
    }
    // Column n of both tiles of a pair.
    __device__ __forceinline__ void store_b(int pair, int n, int product, int column, uint2 words_of) const {
        *reinterpret_cast<uint2*>(
            b + ((pair * PatchTile::products + product) * 32 + place_of_pair(pair, n, column & 3)) * 4 +
            2 * (column >> 2)) = words_of;
    }
    __device__ __forceinline__ uint4 load_a(int m_tile, int product) const {
        const int place_of_lane = place(lane_index() >> 2, lane_index() & 3);
        return reinterpret_cast<const uint4*>(
            a)[(m_tile * PatchTile::products + product) * 32 + place_of_lane];
    }
    __device__ __forceinline__ uint4 load_b(int pair, int product) const {
        const int place_of_lane = place_of_pair(pair, lane_index() >> 2, lane_index() & 3);
        return reinterpret_cast<const uint4*>(b)[(pair * PatchTile::products + product) * 32 + place_of_lane];
    }
};

// A lane's place in the loads of planes and of weights: one of sixteen quads that lie side by side, in one of
// two channels.
struct QuadOfPlane {
    int quad, column_half;

    __device__ __forceinline__ QuadOfPlane() : quad(lane_index() & 15), column_half(lane_index() >> 4) {}
    // Unit n of this warp's eight: which half of the quads, which product and column (mod 4).
    __device__ __forceinline__ static int half(int n) { return n & 1; }
    __device__ __forceinline__ static int product(int n) { return n >> 1; }
    __device__ __forceinline__ int column() const { return warp_index() + 4 * column_half; }
};

// What a thread loads of p: quads of patches of a channel, or of channels of a patch.
template <DType dtype, Layout layout>
class PatchCostate {
    static constexpr bool planes = layout == Layout::planes, full = dtype == DType::float32;
    static constexpr int element_bytes = full ? 4 : 2, quad_words = full ? 4 : 2;

    // Of planes one for each half of the tile, of pixels one for each quad.
    static constexpr int places = planes ? 2 : PatchTile::quads;
    static constexpr std::uint32_t absent = 0xffffffffu;

  public:
    // first: the tile's first patch, counted over the images; left: patches from there on
    __device__ __forceinline__ PatchCostate(const FlatCostate& p, std::int64_t first, std::int64_t left)
        : p_(p), left_(left < PatchTile::patches ? static_cast<int>(left) : PatchTile::patches) {
        const std::int64_t image = first / p.positions;
        position_ = static_cast<int>(first - image * p.positions);
        from_ = static_cast<const char*>(p.data) + image * p.image * element_bytes;
        channel_ = planes ? QuadOfPlane().column() * 4 : (lane_index() & 7) * 4;
#pragma unroll
        for (int n = 0; n < places; ++n)
            offset_[n] = offset_of(planes ? 64 * n + 4 * QuadOfPlane().quad : patch_of(n));
    }

    // The slab that begins with `channel`.
    __device__ __forceinline__ void load(int channel) {
#pragma unroll
        for (int n = 0; n < PatchTile::quads; ++n) {
            const int c = channel + channel_ + (planes ? QuadOfPlane::product(n) : 0);
            const char* const channel_at = from_ + c * p_.channel * element_bytes;
#pragma unroll
            for (int w = 0; w < quad_words; ++w) words_[n][w] = 0;
            if (c >= p_.channels) continue;
            if (p_.wide) {
                const std::uint32_t at = offset_[planes ? QuadOfPlane::half(n) : n];
                if (at != absent)
                    load_quad(channel_at + static_cast<std::uint64_t>(at) * element_bytes, words_[n]);
            } else if constexpr (planes) {
                load_singly(channel_at, 64 * QuadOfPlane::half(n) + 4 * QuadOfPlane().quad, words_[n]);
            }
        }
    }

    __device__ __forceinline__ void store(const PatchSlab& slab) const {
#pragma unroll
        for (int n = 0; n < PatchTile::quads; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                if constexpr (planes) {
                    slab.store_a(4 * QuadOfPlane::half(n) + i, QuadOfPlane().quad, QuadOfPlane::product(n),
                                 QuadOfPlane().column(), word(n, i));
                } else {
                    slab.store_a(m_tile_of(n), row_of(n), i, lane_index() & 7, word(n, i));
                }
            }
        }
    }

  private:
    // Pixels: two neighbouring rows of both halves at a time, in one m tile.
    __device__ __forceinline__ static int m_tile_of(int n) { return (n & 1) * 4 + warp_index(); }
    __device__ __forceinline__ static int row_of(int n) {
        return (n >> 1) * 2 + (lane_index() >> 3 & 1) + 8 * (lane_index() >> 4);
    }
    __device__ __forceinline__ static int patch_of(int n) {
        return (m_tile_of(n) >> 2) * 64 + row_of(n) * 4 + (m_tile_of(n) & 3);
    }

    // Of a patch of the tile, from the first channel of the first image on, in elements.
    __device__ __forceinline__ std::uint32_t offset_of(int patch) const {
        if (patch >= left_) return absent;
        const unsigned at = position_ + patch, images_on = at / static_cast<unsigned>(p_.positions);
        return static_cast<std::uint32_t>(images_on * p_.image +
                                          (at - images_on * p_.positions) * p_.position);
    }

    __device__ __forceinline__ static void load_quad(const char* from, std::uint32_t (&to)[quad_words]) {
        if constexpr (full) {
            const uint4 v = stream_16_bytes(from);
            to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
        } else {
            const uint2 v = stream_8_bytes(from);
            to[0] = v.x, to[1] = v.y;
        }
    }
    // Four patches that may lie in two images.
    __device__ __forceinline__ void load_singly(const char* channel_at, int patch,
                                                std::uint32_t (&to)[quad_words]) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const std::uint32_t at = offset_of(patch + i);
            if (at == absent) continue;
            if constexpr (full) {
                to[i] = __ldg(reinterpret_cast<const std::uint32_t*>(channel_at) + at);
            } else {
                const std::uint32_t bits = __ldg(reinterpret_cast<const std::uint16_t*>(channel_at) + at);
                to[i / 2] |= bits << 16 * (i & 1);
            }
        }
    }
    // In tf32, by which 16 bits lose nothing.
    __device__ __forceinline__ std::uint32_t word(int n, int i) const {
        if constexpr (full) {
            return to_tf32(float_from_bits(words_[n][i]));
        } else {
            return bits_of(widen(static_cast<std::uint16_t>(words_[n][i / 2] >> 16 * (i & 1)), dtype));
        }
    }

    const FlatCostate& p_;
    int left_, position_;  // patches of the tile that exist; where the first lies in its image
    const char* from_;
    int channel_;  // the lane's first, of a slab
    std::uint32_t offset_[places];
    std::uint32_t words_[PatchTile::quads][quad_words];
};

// What a thread loads of the weights, (channels of p, taps): quads of taps.
class PatchWeights {
  public:
    // wide: quads are aligned
    __device__ __forceinline__ PatchWeights(const float* weight, int taps, int channels, int first_tap,
                                            bool wide)
        : taps_(taps), channels_(channels), wide_(wide) {
        tap_ = first_tap + 4 * QuadOfPlane().quad;
        channel_ = 4 * QuadOfPlane().column();
        from_ = weight + static_cast<std::int64_t>(channel_) * taps + tap_;
    }

    // The slab that begins with `channel`.
    __device__ __forceinline__ void load(int channel) {
#pragma unroll
        for (int n = 0; n < PatchTile::quads; ++n) {
            const int c = channel + QuadOfPlane::product(n), tap = tap_ + 64 * QuadOfPlane::half(n);
            const float* const at = from_ + static_cast<std::int64_t>(c) * taps_ + 64 * QuadOfPlane::half(n);
            values_[n] = {0.0f, 0.0f, 0.0f, 0.0f};
            if (channel_ + c >= channels_) continue;
            if (wide_) {
                if (tap < taps_) values_[n] = __ldg(reinterpret_cast<const float4*>(at));
            } else {
                if (tap < taps_) values_[n].x = __ldg(at);
                if (tap + 1 < taps_) values_[n].y = __ldg(at + 1);
                if (tap + 2 < taps_) values_[n].z = __ldg(at + 2);
                if (tap + 3 < taps_) values_[n].w = __ldg(at + 3);
            }
        }
    }

    __device__ __forceinline__ void store(const PatchSlab& slab) const {
        const QuadOfPlane lane;
#pragma unroll
        for (int n = 0; n < PatchTile::quads; ++n) {
            const int pair = 4 * lane.half(n) + (lane.quad >> 2), column = 2 * (lane.quad & 3);
            const float4& w = values_[n];
            slab.store_b(pair, column, lane.product(n), lane.column(), {to_tf32(w.x), to_tf32(w.z)});
            slab.store_b(pair, column + 1, lane.product(n), lane.column(), {to_tf32(w.y), to_tf32(w.w)});
        }
    }

  private:
    const float* from_;
    int taps_, channels_, tap_, channel_;
    bool wide_;
    float4 values_[PatchTile::quads];
};

}  // namespace yopo::cuda
