/// The inner loops, compiled once per instruction set and selected at run time. All give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pairnet {

/// out = (pixel - shift) * scale, in the units of the pixels (sums of four grey levels).
struct Normaliser {
    float shift;
    float scale;
};

/// The source position of an output pixel (x, y): (xx*x + xy*y + x0, yx*x + yy*y + y0), in pixels.
struct Affine {
    float xx, xy, x0;
    float yx, yy, y0;
};

inline constexpr std::size_t knots_side = 4;                         ///< knots on a side of their grid
inline constexpr std::size_t knots_count = knots_side * knots_side;  ///< knots of a displacement field

/// A smooth field of displacements, in pixels: its values on a 4x4 grid whose corners are the corners of the image, row
/// by row. Between them it is bicubic, as in torch's interpolate(mode="bicubic", align_corners=True).
struct Knots {
    float x[knots_count];
    float y[knots_count];
};

/// The inner loops of one instruction set.
struct Kernels {
    std::string_view name;  ///< "avx512", "avx2" or "baseline"

    /// Normalises `count` pixels.
    void (*normalise)(const std::uint16_t* pixels, float* out, std::size_t count, Normaliser by);

    /// Samples a 14x14 image at the positions given by `from` plus the displacements between `knots` (none if null):
    /// bilinear, 0 outside the image. Then normalises.
    void (*warp)(const std::uint16_t* image, float* out, Affine from, const Knots* knots, Normaliser by);
};

/// The levels that this CPU can run, fastest first; the last is always "baseline".
const std::vector<const Kernels*>& simd_levels();

/// The kernels of a level by name; "auto" is the fastest. Throws std::invalid_argument for an unknown level.
const Kernels& kernels(std::string_view level);

}  // namespace pairnet
