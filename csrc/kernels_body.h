/// The loops behind kernels.h, in the form compilers vectorise: no calls, no branches, one rounding per operation.
/// Included once by each kernels_*.cpp, which is compiled with its own instruction set. Therefore everything here has
/// internal linkage and nothing inline is taken from elsewhere: the linker keeps one copy of an inline function for
/// the whole program, and that copy must not hold instructions that this CPU may lack.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace pairnet {
namespace {

constexpr int side = 14;
constexpr int stride = 16;  // of an image with a border of zeros, one pixel wide

// Column and row of each pixel of an image.
struct Grid {
    alignas(64) float x[side * side];
    alignas(64) float y[side * side];
};

constexpr Grid make_grid() {
    Grid grid{};
    for (int k = 0; k < side * side; ++k) {
        const int row = k / side;
        grid.x[k] = static_cast<float>(k - row * side);
        grid.y[k] = static_cast<float>(row);
    }
    return grid;
}

constexpr Grid grid = make_grid();

void normalise(const std::uint16_t* pixels, float* out, std::size_t count, Normaliser by) {
    for (std::size_t k = 0; k < count; ++k) {
        out[k] = (static_cast<float>(pixels[k]) - by.shift) * by.scale;
    }
}

void warp(const std::uint16_t* image, float* out, Affine from, Normaliser by) {
    // Column 16 is column 0 of the next row, row 16 is there to be read with weight 0.
    alignas(64) float bordered[(side + 4) * stride] = {};
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
            bordered[(y + 1) * stride + x + 1] = static_cast<float>(image[y * side + x]);
        }
    }
    constexpr float last = side + 1;
    for (int k = 0; k < side * side; ++k) {
        float x = from.xx * grid.x[k] + from.xy * grid.y[k] + (from.x0 + 1.0F);
        float y = from.yx * grid.x[k] + from.yy * grid.y[k] + (from.y0 + 1.0F);
        x = x > 0.0F ? x : 0.0F;
        y = y > 0.0F ? y : 0.0F;
        x = x < last ? x : last;
        y = y < last ? y : last;
        const int column = static_cast<int>(x);
        const int row = static_cast<int>(y);
        const float right = x - static_cast<float>(column);
        const float down = y - static_cast<float>(row);
        const int place = row * stride + column;
        const float upper = bordered[place] + right * (bordered[place + 1] - bordered[place]);
        const float lower =
            bordered[place + stride] + right * (bordered[place + stride + 1] - bordered[place + stride]);
        out[k] = (upper + down * (lower - upper) - by.shift) * by.scale;
    }
}

}  // namespace
}  // namespace pairnet
