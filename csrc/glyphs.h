/// Procedural digits: an offline, endless source of images. Strokes per digit, bent and placed at random, drawn
/// anti-aliased with a pen of random width, and a little noise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pairnet {

/// The label of glyph `index` of stream `seed`, 0..9, each equally likely: a function of the arguments.
std::uint8_t glyph_label(std::uint64_t seed, std::uint64_t index);

/// Draws glyphs number indices[k] of stream `seed` -> images [n,28,28], labels [n]; each a function of (seed, index).
/// Throws std::invalid_argument for a negative index and where sizes do not fit.
void glyphs(std::span<const std::int64_t> indices, std::uint64_t seed, std::span<std::uint8_t> images,
            std::span<std::uint8_t> labels, std::size_t threads);

}  // namespace pairnet
