// SPDX-License-Identifier: MIT
// A tile of the patch embedding's matrix product in shared memory: 128 patches times 128 taps, 32 channels at
// a time, in fragment order, and how p and the weights come there.
//
// A slab's channel 4 j + i is column j of product i. Patch 4 q + i of 64 is row q of m tile i; tap 16 P + 4 t
// + 2 h + b is column 2 t + b of tile h of pair P. So whoever loads four neighbours of either stores without
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
    // Which half of a lane's words a tile of a pair has.
    __device__ __forceinline__ static int half_of_pair(int pair, int tile) { return tile ^ (pair >> 1 & 1); }

    // Rows g and g + 8.
    __device__ __forceinline__ void store_a(int m_tile, int g, int product, int column, uint2 rows) const {
        const int fragment = (m_tile * PatchTile::products + product) * 32 + place(g, column & 3);
        *reinterpret_cast<uint2*>(a + 4 * fragment + 2 * (column >> 2)) = rows;
    }
    // Columns t and t + 4 (of the product; of B they are rows) for column n of a tile.
    __device__ __forceinline__ void store_b(int pair, int tile, int n, int product, int t,
                                            uint2 columns) const {
        const int fragment = (pair * PatchTile::products + product) * 32 + place_of_pair(pair, n, t);
        *reinterpret_cast<uint2*>(b + 4 * fragment + 2 * half_of_pair(pair, tile)) = columns;
    }
    __device__ __forceinline__ uint4 load_a(int m_tile, int product) const {
        const int at = place(lane_index() >> 2, lane_index() & 3);
        return reinterpret_cast<const uint4*>(a)[(m_tile * PatchTile::products + product) * 32 + at];
    }
    __device__ __forceinline__ uint4 load_b(int pair, int product) const {
        const int at = place_of_pair(pair, lane_index() >> 2, lane_index() & 3);
        return reinterpret_cast<const uint4*>(b)[(pair * PatchTile::products + product) * 32 + at];
    }
};

// What a thread loads of p: quads of patches of a channel, or of channels of a patch.
template <DType dtype, Layout layout>
class PatchCostate {
    static constexpr bool planes = layout == Layout::planes, full = dtype == DType::float32;
    static constexpr int element_bytes = full ? 4 : 2, quad_words = full ? 4 : 2;
    static constexpr int places = planes ? 2 : PatchTile::quads;  // where quads begin
    static constexpr std::uint32_t absent = 0xffffffffu;

  public:
    // first: the tile's first patch, counted over the images; patches: how many of the tile exist
    __device__ __forceinline__ PatchCostate(const FlatCostate& p, std::int64_t first, int patches)
        : p_(p), patches_(patches) {
        const std::int64_t image = first / p.positions;
        position_ = static_cast<int>(first - image * p.positions);
        channel_ = 4 * column();
        from_ = static_cast<const char*>(p.data) + (image * p.image + channel_ * p.channel) * element_bytes;
#pragma unroll
        for (int n = 0; n < places; ++n) offset_[n] = offset_of(patch_of(n));
    }

    // The slab that begins with `channel`.
    __device__ __forceinline__ void load(int channel) {
        if (p_.wide && patches_ == PatchTile::patches && channel + PatchTile::channels <= p_.channels) {
#pragma unroll
            for (int n = 0; n < PatchTile::quads; ++n) load_quad(quad_at(channel, n), words_[n]);
        } else {
            load_some(channel);
        }
    }

    __device__ __forceinline__ void store(const PatchSlab& slab) const {
#pragma unroll
        for (int n = 0; n < PatchTile::quads; n += 2) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                slab.store_a(planes ? m_tile_of(n) + i : m_tile_of(n), row_of(n), planes ? product_of(n) : i,
                             column(), {word(n, i), word(n + 1, i)});
            }
        }
    }

  private:
    // Quad n of a thread: even ones have a row of the first eight of an m tile, odd ones the row eight
    // further. Planes: eight rows, both halves of the columns and of the tile, side by side in a warp.
    // Pixels: eight columns and four rows.
    __device__ __forceinline__ static int column() {
        return planes ? warp_index() + 4 * (lane_index() >> 3 & 1) : lane_index() & 7;
    }
    __device__ __forceinline__ static int row_of(int n) {
        return planes ? lane_index() & 7 : (lane_index() >> 3) + (n >> 1 & 1) * 4;
    }
    __device__ __forceinline__ static int m_tile_of(int n) {  // of planes the first of four
        return planes ? 4 * (lane_index() >> 4) : 4 * (n >> 2) + warp_index();
    }
    __device__ __forceinline__ static int product_of(int n) { return planes ? n >> 1 : 0; }
    __device__ __forceinline__ static int patch_of(int n) {  // the first, of planes
        return (m_tile_of(n) >> 2) * 64 + 4 * (row_of(n) + 8 * (n & 1)) + (m_tile_of(n) & 3);
    }

    // Of a patch of the tile, from the first image on, in elements.
    __device__ __forceinline__ std::uint32_t offset_of(int patch) const {
        if (patch >= patches_) return absent;
        const unsigned at = position_ + patch, images_on = at / static_cast<unsigned>(p_.positions);
        return static_cast<std::uint32_t>(images_on * p_.image +
                                          (at - images_on * p_.positions) * p_.position);
    }

    __device__ __forceinline__ const char* channel_at(int channel, int n) const {
        return from_ + (channel + product_of(n)) * p_.channel * element_bytes;
    }
    __device__ __forceinline__ const char* quad_at(int channel, int n) const {
        return channel_at(channel, n) + static_cast<std::uint64_t>(offset_[n % places]) * element_bytes;
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

    // What exists of a slab, and zeros.
    __device__ __forceinline__ void load_some(int channel) {
#pragma unroll
        for (int n = 0; n < PatchTile::quads; ++n) {
#pragma unroll
            for (int w = 0; w < quad_words; ++w) words_[n][w] = 0;
            if (channel + channel_ + product_of(n) >= p_.channels) continue;
            if (p_.wide) {
                if (offset_[n % places] != absent) load_quad(quad_at(channel, n), words_[n]);
            } else if constexpr (planes) {
                load_singly(channel_at(channel, n), patch_of(n), words_[n]);
            }
        }
    }

    // Four patches that may lie in two images.
    __device__ __forceinline__ void load_singly(const char* from, int patch,
                                                std::uint32_t (&to)[quad_words]) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const std::uint32_t at = offset_of(patch + i);
            if (at == absent) continue;
            if constexpr (full) {
                to[i] = __ldg(reinterpret_cast<const std::uint32_t*>(from) + at);
            } else {
                const std::uint32_t bits = __ldg(reinterpret_cast<const std::uint16_t*>(from) + at);
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
    int patches_, position_;  // position: where the first patch lies in its image
    const char* from_;        // the first image, and this thread's first channel of a slab
    int channel_;
    std::uint32_t offset_[places];
    std::uint32_t words_[PatchTile::quads][quad_words];
};

// What a thread loads of the weights, (channels of p, taps): a warp has a channel's 128 taps side by side,
// and a thread four of them, of the two channels that share a word pair of each product.
class PatchWeights {
  public:
    // wide: quads are aligned
    __device__ __forceinline__ PatchWeights(const float* weight, int taps, int channels, int first_tap,
                                            bool wide)
        : taps_(taps), tap_(first_tap + 4 * lane_index()), channels_(channels) {
        from_ = weight + static_cast<std::int64_t>(4 * warp_index()) * taps + tap_;
        wide_ = wide;
        whole_ = wide && first_tap + PatchTile::taps <= taps;
    }

    // The slab that begins with `channel`.
    __device__ __forceinline__ void load(int channel) {
        const float* const at = from_ + static_cast<std::int64_t>(channel) * taps_;
        if (whole_ && channel + PatchTile::channels <= channels_) {
#pragma unroll
            for (int n = 0; n < PatchTile::quads; ++n) {
                values_[n] = __ldg(reinterpret_cast<const float4*>(at + std::int64_t{channel_of(n)} * taps_));
            }
        } else {
#pragma unroll
            for (int n = 0; n < PatchTile::quads; ++n) {
                const int c = channel + 4 * warp_index() + channel_of(n);
                values_[n] =
                    load_some(at + std::int64_t{channel_of(n)} * taps_, c < channels_ ? taps_ - tap_ : 0);
            }
        }
    }

    __device__ __forceinline__ void store(const PatchSlab& slab) const {
        const int pair = lane_index() >> 2, column = 2 * (lane_index() & 3);
#pragma unroll
        for (int n = 0; n < PatchTile::quads; n += 2) {
            const float4 &low = values_[n], &high = values_[n + 1];
            const int product = n / 2, t = warp_index();
            slab.store_b(pair, 0, column, product, t, {to_tf32(low.x), to_tf32(high.x)});
            slab.store_b(pair, 0, column + 1, product, t, {to_tf32(low.y), to_tf32(high.y)});
            slab.store_b(pair, 1, column, product, t, {to_tf32(low.z), to_tf32(high.z)});
            slab.store_b(pair, 1, column + 1, product, t, {to_tf32(low.w), to_tf32(high.w)});
        }
    }

  private:
    // Of quad n, from the thread's first channel of the slab on: column t + 4 is sixteen channels further.
    __device__ __forceinline__ static int channel_of(int n) { return n / 2 + 16 * (n & 1); }

    // `left` taps exist.
    __device__ __forceinline__ float4 load_some(const float* at, int left) const {
        float4 w = {0.0f, 0.0f, 0.0f, 0.0f};
        if (wide_) return left > 0 ? __ldg(reinterpret_cast<const float4*>(at)) : w;
        if (left > 0) w.x = __ldg(at);
        if (left > 1) w.y = __ldg(at + 1);
        if (left > 2) w.z = __ldg(at + 2);
        if (left > 3) w.w = __ldg(at + 3);
        return w;
    }

    int taps_, tap_, channels_;
    const float* from_;
    bool wide_, whole_;
    float4 values_[PatchTile::quads];
};

}  // namespace yopo::cuda
