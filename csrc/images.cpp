#include "images.h"

#include <stdexcept>
#include <string>

#include "parallel.h"

namespace pairnet {
namespace {

void pool_image(const std::uint8_t* image, std::uint16_t* out) {
    for (std::size_t y = 0; y < pooled_side; ++y) {
        const std::uint8_t* upper = image + 2 * y * image_side;
        const std::uint8_t* lower = upper + image_side;
        for (std::size_t x = 0; x < pooled_side; ++x) {
            *out++ = static_cast<std::uint16_t>(upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
        }
    }
}

void scale_image(const std::uint8_t* image, std::uint16_t* out) {
    for (std::size_t k = 0; k < pooled_size; ++k) {
        out[k] = static_cast<std::uint16_t>(4 * image[k]);
    }
}

}  // namespace

void pool(std::span<const std::uint8_t> images, std::size_t side, std::span<const std::int64_t> indices,
          std::span<std::uint16_t> out, std::size_t threads) {
    if (side != image_side && side != pooled_side) {
        throw std::invalid_argument("side of an image must be 28 or 14, not " + std::to_string(side));
    }
    const std::size_t size = side * side;
    const std::size_t count = images.size() / size;
    if (count * size != images.size() || out.size() != indices.size() * pooled_size) {
        throw std::invalid_argument("images must fill whole images and out hold 196 pixels for each index");
    }
    for (const std::int64_t index : indices) {
        if (index < 0 || static_cast<std::uint64_t>(index) >= count) {
            throw std::invalid_argument("index must be at least 0 and below " + std::to_string(count) + ", not " +
                                        std::to_string(index));
        }
    }
    const auto one = side == image_side ? pool_image : scale_image;
    parallel(indices.size(), threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) {
            one(&images[static_cast<std::size_t>(indices[k]) * size], &out[k * pooled_size]);
        }
    });
}

}  // namespace pairnet
