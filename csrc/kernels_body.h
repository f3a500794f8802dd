/// The loops behind kernels.h, in a form that compilers vectorise: no calls, no branches, one rounding per operation.
/// Included by each kernels_*.cpp, which is compiled for its own instruction set. Therefore everything here has
/// internal linkage, and no inline function of another header is used: the linker keeps one copy of an inline function
/// for the whole program, and that copy must not contain instructions that the CPU may lack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

namespace pairnet {
namespace {

constexpr int side = 14;
constexpr int stride = 16;  // of a row with a border of zeros, and of a row of a field: full vectors

/// A value for each pixel of an image, and two unused ones at the end of each row.
template <class Value>
struct Field {
    alignas(64) Value at[side * stride];
};

/// The column number of each value of a row.
struct Columns {
    alignas(64) float at[stride];
};

constexpr Columns make_columns() {
    Columns columns{};
    for (int x = 0; x < stride; ++x) {
        columns.at[x] = static_cast<float>(x);
    }
    return columns;
}

constexpr Columns columns = make_columns();

/// Weight of each knot of a line in each pixel of a line.
struct Weights {
    alignas(64) float of[knots_side][stride];
};

/// Cubic convolution with a = -0.75 (Keys 1981); beyond the ends, the last knot is repeated.
constexpr Weights make_weights() {
    constexpr int last_knot = knots_side - 1;
    constexpr double a = -0.75;
    Weights weights{};
    for (int pixel = 0; pixel < side; ++pixel) {
        const double position = pixel * static_cast<double>(last_knot) / (side - 1);
        double sum[knots_side] = {};
        for (int knot = -1; knot <= last_knot + 2; ++knot) {
            const double d = position > knot ? position - knot : knot - position;
            const double share = d < 1   ? ((a + 2) * d - (a + 3)) * d * d + 1
                                 : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
                                         : 0.0;
            sum[knot < 0 ? 0 : knot > last_knot ? last_knot : knot] += share;
        }
        for (int knot = 0; knot <= last_knot; ++knot) {
            weights.of[knot][pixel] = static_cast<float>(sum[knot]);
        }
    }
    return weights;
}

constexpr Weights weights = make_weights();

/// Adds the displacements, interpolated between `knots`, to out.
void displace(const float* knots, Field<float>& out) {
    Weights lines{};  // each line of knots, at all columns
    for (std::size_t line = 0; line < knots_side; ++line) {
        for (std::size_t knot = 0; knot < knots_side; ++knot) {
            for (int x = 0; x < stride; ++x) {
                lines.of[line][x] += knots[line * knots_side + knot] * weights.of[knot][x];
            }
        }
    }
    for (int y = 0; y < side; ++y) {
        for (int x = 0; x < stride; ++x) {
            const float upper = weights.of[0][y] * lines.of[0][x] + weights.of[1][y] * lines.of[1][x];
            const float lower = weights.of[2][y] * lines.of[2][x] + weights.of[3][y] * lines.of[3][x];
            out.at[y * stride + x] += upper + lower;
        }
    }
}

void normalise(const std::uint16_t* pixels, float* out, std::size_t count, Normaliser by) {
    for (std::size_t k = 0; k < count; ++k) {
        out[k] = (static_cast<float>(pixels[k]) - by.shift) * by.scale;
    }
}

/// Moves positions outside the bordered image onto its border. A separate loop: compilers do not vectorise it as part
/// of a longer one.
void clamp(Field<float>& positions) {
    constexpr float last = side + 1;
    for (float& position : positions.at) {
        position = position > 0.0F ? position : 0.0F;
        position = position < last ? position : last;
    }
}

/// Two neighbouring pixels.
struct Neighbours {
    std::uint16_t left, right;
};

void warp(const std::uint16_t* image, float* out, Affine from, const Knots* knots, Normaliser by) {
    // Column 16 is column 0 of the next row; row 16 is only read with weight 0.
    alignas(64) std::uint16_t bordered[(side + 4) * stride] = {};
    for (int y = 0; y < side; ++y) {
        std::memcpy(&bordered[(y + 1) * stride + 1], &image[y * side], side * sizeof *image);
    }

    Field<float> xs;
    Field<float> ys;
    for (int y = 0; y < side; ++y) {
        const auto row = static_cast<float>(y);
        for (int x = 0; x < stride; ++x) {
            xs.at[y * stride + x] = from.xx * columns.at[x] + from.xy * row + (from.x0 + 1.0F);
            ys.at[y * stride + x] = from.yx * columns.at[x] + from.yy * row + (from.y0 + 1.0F);
        }
    }
    if (knots != nullptr) {
        displace(knots->x, xs);
        displace(knots->y, ys);
    }

    clamp(xs);
    clamp(ys);
    Field<int> offsets;
    for (int k = 0; k < side * stride; ++k) {
        const int column = static_cast<int>(xs.at[k]);
        const int row = static_cast<int>(ys.at[k]);
        xs.at[k] -= static_cast<float>(column);
        ys.at[k] -= static_cast<float>(row);
        offsets.at[k] = row * stride + column;
    }

    // One load reads two pixels. Gather instructions, four for each vector, were slower on all CPUs measured:
    // docs/performance.md.
    Field<Neighbours> uppers;
    Field<Neighbours> lowers;
    for (int k = 0; k < side * stride; ++k) {
        std::memcpy(&uppers.at[k], &bordered[offsets.at[k]], sizeof(Neighbours));
        std::memcpy(&lowers.at[k], &bordered[offsets.at[k] + stride], sizeof(Neighbours));
        asm volatile("");
    }

    Field<float> warped;
    for (int k = 0; k < side * stride; ++k) {
        const float right = xs.at[k];
        const float down = ys.at[k];
        const auto upper_left = static_cast<float>(uppers.at[k].left);
        const auto upper_right = static_cast<float>(uppers.at[k].right);
        const auto lower_left = static_cast<float>(lowers.at[k].left);
        const auto lower_right = static_cast<float>(lowers.at[k].right);
        const float upper = upper_left + right * (upper_right - upper_left);
        const float lower = lower_left + right * (lower_right - lower_left);
        warped.at[k] = (upper + down * (lower - upper) - by.shift) * by.scale;
    }
    for (int y = 0; y < side; ++y) {
        std::memcpy(&out[y * side], &warped.at[y * stride], side * sizeof *out);
    }
}

}  // namespace
}  // namespace pairnet
