/// The inner loops, compiled once per instruction set and chosen when the program runs. All give the same bits.
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

/// Where an output pixel (x, y) is read from: (xx*x + xy*y + x0, yx*x + yy*y + y0), in pixels.
struct Affine {
    float xx, xy, x0;
    float yx, yy, y0;
};

/// The inner loops of one instruction set.
struct Kernels {
    std::string_view name;

    /// Normalises `count` pixels.
    void (*normalise)(const std::uint16_t* pixels, float* out, std::size_t count, Normaliser by);

    /// Reads a 14x14 image at the places `from` says, bilinearly, 0 outside of it; then normalises.
    void (*warp)(const std::uint16_t* image, float* out, Affine from, Normaliser by);
};

/// What this CPU can run, best first; the last is always "baseline".
const std::vector<const Kernels*>& simd_levels();

/// The kernels of a level by name; "auto" is the best. Throws std::invalid_argument for a level that is not there.
const Kernels& kernels(std::string_view level);

}  // namespace pairnet
