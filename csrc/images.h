/// 8-bit images in, 2x2-pooled images out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pairnet {

inline constexpr std::size_t image_side = 28;                          ///< of an image as it comes
inline constexpr std::size_t pooled_side = 14;                         ///< of a pooled image
inline constexpr std::size_t pooled_size = pooled_side * pooled_side;  ///< pixels of a pooled image
inline constexpr std::size_t pair_size = 2 * pooled_size;              ///< pooled pixels of a pair

/// Gathers images at `indices` and pools each to 14x14 sums of 2x2 grey levels (0..1020: four times the average).
/// images: [N,28,28], or [N,14,14] which is taken times four; side says which; out: [indices.size(),14,14].
/// Throws std::invalid_argument when a size does not fit or an index is not in [0, N).
void pool(std::span<const std::uint8_t> images, std::size_t side, std::span<const std::int64_t> indices,
          std::span<std::uint16_t> out, std::size_t threads);

}  // namespace pairnet
