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

void pool(std::span<const std::uint8_t> images, std::span<std::uint16_t> out, std::size_t threads) {
    const std::size_t count = images.size() / image_size;
    if (images.size() != count * image_size || out.size() != count * pooled_size) {
        throw std::invalid_argument("expected images of 784 pixels and 196 places in out for each, got " +
                                    std::to_string(images.size()) + " and " + std::to_string(out.size()));
    }
    parallel(count, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) {
            pool_image(&images[k * image_size], &out[k * pooled_size]);
        }
    });
}

void pool_at(std::span<const std::uint8_t> images, std::size_t side, std::span<const std::int64_t> indices,
             std::span<std::uint16_t> out, std::size_t threads) {
    if (side != image_side && side != pooled_side) {
        throw std::invalid_argument("expected images with a side of 28 or 14 pixels, got " + std::to_string(side));
    }
    const std::size_t size = side * side;
    const std::size_t count = images.size() / size;
    if (count * size != images.size() || out.size() != indices.size() * pooled_size) {
        throw std::invalid_argument("expected images of " + std::to_string(size) + " pixels and " +
                                    std::to_string(indices.size() * pooled_size) + " places in out, got " +
                                    std::to_string(images.size()) + " and " + std::to_string(out.size()));
    }
    const auto one = side == image_side ? pool_image : scale_image;
    parallel(indices.size(), threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) {
            const std::int64_t index = indices[k];  // read once: another thread may write to the caller's array
            if (index < 0 || static_cast<std::uint64_t>(index) >= count) {
                throw std::invalid_argument("expected `indices` of " + std::to_string(count) + " images, got " +
                                            std::to_string(index));
            }
            one(&images[static_cast<std::size_t>(index) * size], &out[k * pooled_size]);
        }
    });
}

}  // namespace pairnet
