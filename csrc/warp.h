/// Small random warps of 14x14 images: affine, followed by elastic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels.h"

namespace pairnet {

/// Size of random warps: the largest magnitude of each affine parameter, the standard deviation of the elastic ones.
struct WarpRange {
    float rotation;  ///< degrees
    float scale;     ///< below 1: the factor of each axis is in 1 - scale .. 1 + scale
    float shear;     ///< x += shear * y
    float shift;     ///< pixels, in x and in y
    float elastic;   ///< pixels, in x and in y, of each knot
};

/// The warp of one image. Its affine part moves points about the centre c,
/// q = c + R(rotation) * [1 shear; 0 1] * [factor_x 0; 0 factor_y] * (p - c) + (dx, dy), for points (x, y) with y down,
/// so a positive rotation is clockwise. Its elastic part then displaces the position that each pixel is read from.
struct Warp {
    float rotation;            ///< degrees
    float factor_x, factor_y;  ///< scale of each axis
    float shear;               ///< x += shear * y
    float dx, dy;              ///< pixels
    Knots knots;               ///< displacements, in pixels
};

/// Numbers in a Warp: six and two for each knot, in the order of its members.
inline constexpr std::size_t warp_parameters = 6 + 2 * knots_count;

/// Throws std::invalid_argument for a range with a value that is negative or not finite, or scale >= 1.
void check(const WarpRange& range);

/// The warp of image `side` (0 or 1) of pair `pair` in an epoch: a function of the arguments.
Warp random_warp(const WarpRange& range, std::uint64_t seed, std::uint32_t epoch, std::uint64_t pair,
                 std::uint64_t side);

/// The position that each pixel of the warped image is read from, without its displacement.
Affine source_of(const Warp& warp);

/// The warps of both images of pairs `indices` -> out [n,2,38]: rotation, factors of x and y, shear, dx, dy, knots in x
/// and in y. Throws std::invalid_argument for sizes that do not match, a negative index, epoch >= 2^28, or an invalid
/// range.
void random_warps(std::span<const std::int64_t> indices, const WarpRange& range, std::uint64_t seed,
                  std::uint64_t epoch, std::span<float> out);

/// Warps images [m,14,14] (sums of four grey levels) by parameters [m,38] as random_warps gives them -> out [m,14,14]
/// in grey levels. Throws std::invalid_argument if the sizes do not match, a parameter is not finite, or a factor is
/// not positive.
void warp(std::span<const std::uint16_t> images, std::span<const float> parameters, std::span<float> out,
          const Kernels& with);

}  // namespace pairnet
