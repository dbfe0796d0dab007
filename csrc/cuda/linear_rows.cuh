// SPDX-License-Identifier: MIT
// The linear first layer with precision "high" where the shape is known to the compiler: 3 x 3 taps, padding
// 1, on images of three channels, 32 x 32. One block an image, four rows a warp; p is read once, sixteen
// bytes at a time and four rows ahead; g never leaves the registers of the thread that moves the pixels.
//
// Rows of A are taps. Eight of the nine (channel, dx) share an octet with one dy, so three octets' products
// of neighbouring rows are added up in registers, and the three dy of the ninth are the last octet: 11
// numbers a pixel go through shared memory instead of 27.
#pragma once

#include "cuda/costate_row.cuh"
#include "cuda/pixel_quad.cuh"
#include "cuda/pixel_walk.cuh"
#include "cuda/weight_fragments.cuh"

namespace yopo::cuda {

struct LinearRowsArguments {
    AscentArguments ascent;
    FlatCostate p;
    QuadAccess x, eta, out;
};

struct LinearRows {
    static constexpr int in_channels = 3, kernel = 3, padding = 1, height = 32, width = 32;
    static constexpr int threads = 256, warps = threads / 32, rows = height / warps;
    static constexpr int taps = in_channels * kernel * kernel, m_tiles = 2;
    static constexpr int combinations = in_channels * kernel, paired = 8;  // (channel, dx); in octets of dy
    static constexpr int sums = rows + kernel - 1;  // rows of pixels that a warp reaches
    static constexpr int pitch = width + 4;         // free of bank conflicts

    YOPO_FUNCTION static bool takes(const ConvShape& s) {
        return s.in_channels == in_channels && s.height == height && s.width == width &&
               s.kernel_h == kernel && s.kernel_w == kernel && s.padding_h == padding &&
               s.padding_w == padding && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
               s.dilation_w == 1 && s.out_channels % 16 == 0;
    }
};

struct LinearRowsMemory {
    float* paired;   // [warp][row of pixels, from the one before its own][combination][column]
    float* last;     // [row of p][dy][column]: of the ninth combination
    uint4* weights;  // [chunk][product][m tile][lane]: A fragments

    YOPO_FUNCTION LinearRowsMemory(int chunks, int products, Arena& arena) {
        using L = LinearRows;
        paired = arena.take<float>(L::warps * L::sums * L::paired * L::pitch);
        last = arena.take<float>(L::height * L::kernel * L::pitch);
        weights = arena.take<uint4>(static_cast<std::size_t>(chunks) * products * L::m_tiles * 32);
    }

    __device__ __forceinline__ float* paired_row(int warp, int row) const {
        return paired + (warp * LinearRows::sums + row) * (LinearRows::paired * LinearRows::pitch);
    }
    __device__ __forceinline__ float* last_row(int row, int dy) const {
        return last + (row * LinearRows::kernel + dy) * LinearRows::pitch;
    }
};

// The tap of row g of an octet, in the order of the weights; -1: none.
__device__ __forceinline__ int tap_of(int octet, int g) {
    using L = LinearRows;
    constexpr int of_channel = L::kernel * L::kernel;
    const int combination = octet < L::kernel ? g : L::paired, dy = octet < L::kernel ? octet : g;
    if (dy >= L::kernel) return -1;
    return combination / L::kernel * of_channel + dy * L::kernel + combination % L::kernel;
}

template <class Row>
__device__ __forceinline__ void pack_weights(const LayerArguments& layer, int chunks, uint4* weights) {
    using L = LinearRows;
    constexpr int parts = parts_of<Row>, blocks = Row::products / parts;
    const int g = lane_index() >> 2, t = lane_index() & 3;
#pragma unroll 2
    for (int i = warp_index(); i < chunks * blocks * L::m_tiles; i += L::warps) {
        const int m = i % L::m_tiles, block = i / L::m_tiles % blocks, chunk = i / (L::m_tiles * blocks);
        const int taps[2] = {tap_of(2 * m, g), tap_of(2 * m + 1, g)};
        uint4 fragments[parts];
        weight_fragments<Row>(
            block, t,
            [&](bool upper, int of_chunk) {
                const int channel = chunk * Row::channels + of_chunk, tap = taps[upper];
                const bool exists = tap >= 0 && channel < layer.shape.out_channels;
                return exists ? __ldg(layer.weight + channel * L::taps + tap) : 0.0f;
            },
            fragments);
#pragma unroll
        for (int part = 0; part < parts; ++part) {
            const int product = block * parts + part;
            weights[((chunk * Row::products + product) * L::m_tiles + m) * 32 + lane_index()] =
                fragments[part];
        }
    }
}

// What a warp has of its rows: all taps at 32 positions each. Column n of product i is position 4 n + i, so a
// lane has eight neighbours: four from each of two columns.
struct RowSums {
    float at[LinearRows::rows][LinearRows::m_tiles][4][4];  // [row][m tile][i][register]

    // += one of the products of weights x row
    template <class Row>
    __device__ __forceinline__ void add(int row, const Row& p, int product,
                                        const uint4 (&weights)[LinearRows::m_tiles]) {
#pragma unroll
        for (int i = 0; i < Row::positions; ++i) {
            const std::uint32_t b0 = costate_word(p, product, 0, i), b1 = costate_word(p, product, 1, i);
#pragma unroll
            for (int m = 0; m < LinearRows::m_tiles; ++m) mma_of<Row>(at[row][m][i], weights[m], b0, b1);
        }
    }

    // The octet's product at a row, column `half` of the lane's two; zeros where there is no such row.
    __device__ __forceinline__ void add_to(float (&to)[4], int octet, int row, int half) const {
        if (row < 0 || row >= LinearRows::rows) return;
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i] += at[row][octet / 2][i][octet % 2 * 2 + half];
    }

    __device__ __forceinline__ void store(const LinearRowsMemory& memory) const {
        using L = LinearRows;
        const int g = lane_index() >> 2, column = (lane_index() & 3) * 8;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            // Tap dy of row r of p meets the pixels of row r + dy - 1.
#pragma unroll
            for (int sum = 0; sum < L::sums; ++sum) {
                float total[4] = {};
#pragma unroll
                for (int dy = L::kernel - 1; dy >= 0; --dy) add_to(total, dy, sum - dy, half);
                write_quad(memory.paired_row(warp_index(), sum) + g * L::pitch + column + 4 * half, 1, true,
                           total);
            }
            if (g < L::kernel) {
#pragma unroll
                for (int row = 0; row < L::rows; ++row) {
                    float total[4] = {};
                    add_to(total, L::kernel, row, half);
                    write_quad(memory.last_row(warp_index() * L::rows + row, g) + column + 4 * half, 1, true,
                               total);
                }
            }
        }
    }
};

// g of four neighbouring pixels of the normalised input, all channels.
struct GradientQuad {
    float at[LinearRows::in_channels][4] = {};

    __device__ __forceinline__ GradientQuad(const LinearRowsMemory& memory, int y, int x) {
        using L = LinearRows;
        const int warp = y / L::rows, row = y % L::rows;
        // The row's neighbour beyond the warp's rows has a part of the first and of the last one's sums.
        const bool above = row == 0 && warp > 0, below = row == L::rows - 1 && warp < L::warps - 1;
        const float* const own = memory.paired_row(warp, row + 1) + x;
        const float* const other =
            (above ? memory.paired_row(warp - 1, L::sums - 1) : memory.paired_row(warp + below, 0)) + x;
#pragma unroll
        for (int combination = 0; combination < L::paired; ++combination) {
            float sum[4];
            read_quad(own + combination * L::pitch, 1, true, sum);
            if (above || below) add(other + combination * L::pitch, sum);
            shift(combination, x, sum);
        }
        float sum[4] = {};
        if (y < L::height - 1) add(memory.last_row(y + 1, 0) + x, sum);
        add(memory.last_row(y, 1) + x, sum);
        if (y > 0) add(memory.last_row(y - 1, 2) + x, sum);
        shift(L::paired, x, sum);
    }

  private:
    __device__ __forceinline__ static void add(const float* from, float (&sum)[4]) {
        float more[4];
        read_quad(from, 1, true, more);
#pragma unroll
        for (int i = 0; i < 4; ++i) sum[i] += more[i];
    }

    // Tap dx at column j meets pixel j + dx - 1. Lanes side by side hold quads side by side.
    __device__ __forceinline__ void shift(int combination, int x, const float (&sum)[4]) {
        float (&g)[4] = at[combination / LinearRows::kernel];
        const int dx = combination % LinearRows::kernel;
        if (dx == 0) {
            const float next = __shfl_down_sync(all_lanes, sum[0], 1);
#pragma unroll
            for (int i = 0; i < 3; ++i) g[i] += sum[i + 1];
            g[3] += x + 4 < LinearRows::width ? next : 0.0f;
        } else if (dx == 1) {
#pragma unroll
            for (int i = 0; i < 4; ++i) g[i] += sum[i];
        } else {
            const float before = __shfl_up_sync(all_lanes, sum[3], 1);
            g[0] += x > 0 ? before : 0.0f;
#pragma unroll
            for (int i = 1; i < 4; ++i) g[i] += sum[i - 1];
        }
    }
};

// p of one image times the weights, in the warp's registers; the weights are packed on the way.
template <class Row>
__device__ __forceinline__ void multiply_rows(const LinearRowsArguments& a, const LinearRowsMemory& memory,
                                              int chunks, RowSums& sums) {
    using L = LinearRows;
    RowReader<Row> reader(a.p, blockIdx.x, warp_index() * L::rows, L::height * L::width);
    Row rows[L::rows];
#pragma unroll
    for (int r = 0; r < L::rows; ++r) reader.load(rows[r], r);
    pack_weights<Row>(a.ascent.layer, chunks, memory.weights);
    __syncthreads();
    const uint4* packed = memory.weights + lane_index();
#pragma unroll 1
    for (int left = chunks; left > 0; --left) {
        reader.advance();
#pragma unroll
        for (int product = 0; product < Row::products; ++product, packed += L::m_tiles * 32) {
            const uint4 weights[L::m_tiles] = {packed[0], packed[32]};
#pragma unroll
            for (int r = 0; r < L::rows; ++r) {
                sums.add(r, rows[r], product, weights);
                if (product + 1 == Row::products && left > 1) reader.load(rows[r], r);
            }
        }
    }
}

template <class Row>
__global__ void __launch_bounds__(LinearRows::threads, 1) linear_rows_kernel(const LinearRowsArguments a) {
    using L = LinearRows;
    YOPO_SHARED_MEMORY(shared);
    Arena arena(shared);
    const int chunks = ceil_div(a.p.channels, Row::channels);
    const LinearRowsMemory memory(chunks, Row::products, arena);
    RowSums sums = {};
    multiply_rows<Row>(a, memory, chunks, sums);
    sums.store(memory);

    const AscentArguments& s = a.ascent;
    const int y = threadIdx.x / (L::width / 4), x0 = threadIdx.x % (L::width / 4) * 4;
    const std::int64_t image = blockIdx.x;
    float x[L::in_channels][4], eta[L::in_channels][4];
    read_quads(s.x.data + offset(s.x.strides, image, {0, y, x0}), s.x.strides, a.x, x);
    read_quads(s.eta.data + offset(s.eta.strides, image, {0, y, x0}), s.eta.strides, a.eta, eta);
    __syncthreads();
    GradientQuad g(memory, y, x0);
    PixelWalk pixels[4 * L::in_channels];
#pragma unroll
    for (int c = 0; c < L::in_channels; ++c) {
#pragma unroll
        for (float& component : g.at[c]) component = s.layer.denormalize(component, c);
        begin_walks<4>(s, c, x[c], eta[c], g.at[c], pixels + 4 * c);
    }
    walk(pixels, s.steps);
#pragma unroll
    for (int i = 0; i < 4 * L::in_channels; ++i) eta[i / 4][i % 4] = pixels[i].eta;
    write_quads(s.out.data + offset(s.out.strides, image, {0, y, x0}), s.out.strides, a.out, eta);
}

}  // namespace yopo::cuda
