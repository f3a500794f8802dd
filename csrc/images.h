/// Pooling of 8-bit images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pairnet {

inline constexpr std::size_t image_side = 28;                          ///< side of an image, in pixels
inline constexpr std::size_t image_size = image_side * image_side;     ///< pixels of an image
inline constexpr std::size_t pooled_side = 14;                         ///< side of a pooled image, in pixels
inline constexpr std::size_t pooled_size = pooled_side * pooled_side;  ///< pixels of a pooled image
inline constexpr std::size_t pair_size = 2 * pooled_size;              ///< pooled pixels of a pair

/// Pools each image [N,28,28] -> out [N,14,14], sums of 2x2 grey levels in 0..1020 (four times their average).
/// Throws std::invalid_argument if the sizes do not match or threads is out of bounds.
void pool(std::span<const std::uint8_t> images, std::span<std::uint16_t> out, std::size_t threads);

/// Pools the images at `indices` -> out [indices.size(),14,14], as pool() does.
/// images: [N,28,28], or pooled already, [N,14,14], which are multiplied by four; `side` is 28 or 14.
/// Throws std::invalid_argument if the sizes do not match, an index is not in 0..N-1, or threads is out of bounds.
void pool_at(std::span<const std::uint8_t> images, std::size_t side, std::span<const std::int64_t> indices,
             std::span<std::uint16_t> out, std::size_t threads);

}  // namespace pairnet
