/// Procedural digits: an endless source of images that needs no download. The strokes of each digit are distorted and
/// placed at random, then drawn anti-aliased with a pen of random width and some noise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pairnet {

/// The label of glyph `index` of stream `seed`, 0..9, each equally likely: a function of the arguments.
std::uint8_t glyph_label(std::uint64_t seed, std::uint64_t index);

/// Draws the glyphs with numbers indices[k] of stream `seed` -> images [n,28,28], labels [n]; each a function of
/// (seed, index). Throws std::invalid_argument for a negative index, sizes that do not match, or threads out of bounds.
void glyphs(std::span<const std::int64_t> indices, std::uint64_t seed, std::span<std::uint8_t> images,
            std::span<std::uint8_t> labels, std::size_t threads);

}  // namespace pairnet
