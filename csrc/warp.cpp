#include "warp.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "images.h"
#include "philox.h"

namespace pairnet {
namespace {

constexpr std::size_t parameters_of_warp = 5;

void check_magnitude(const char* name, float value) {
    if (!std::isfinite(value) || value < 0) {
        throw std::invalid_argument(std::string(name) + " must be finite and not negative, not " +
                                    std::to_string(value));
    }
}

}  // namespace

void check(const WarpRange& range) {
    check_magnitude("rotation", range.rotation);
    check_magnitude("scale", range.scale);
    check_magnitude("shear", range.shear);
    check_magnitude("shift", range.shift);
    if (range.scale >= 1) {
        throw std::invalid_argument("scale must be below 1, not " + std::to_string(range.scale));
    }
}

Warp random_warp(const WarpRange& range, std::uint64_t seed, std::uint32_t epoch, std::uint64_t pair,
                 std::uint64_t side) {
    Random random(seed, Purpose::warp, epoch, 2 * pair + side);
    const auto within = [&](float magnitude) { return random.uniform(-magnitude, magnitude); };
    Warp warp{};
    warp.rotation = within(range.rotation);
    warp.factor = 1.0F + within(range.scale);
    warp.shear = within(range.shear);
    warp.dx = within(range.shift);
    warp.dy = within(range.shift);
    return warp;
}

Affine source_of(const Warp& warp) {
    // p = c + [1 -shear; 0 1] * R(-rotation) * (q - c - d) / factor
    const double angle = static_cast<double>(warp.rotation) * std::numbers::pi / 180;
    const double cos = std::cos(angle) / static_cast<double>(warp.factor);
    const double sin = std::sin(angle) / static_cast<double>(warp.factor);
    const double shear = warp.shear;
    const double xx = cos + shear * sin;
    const double xy = sin - shear * cos;
    const double centre = (pooled_side - 1) / 2.0;
    const double x = centre + static_cast<double>(warp.dx);
    const double y = centre + static_cast<double>(warp.dy);
    return {.xx = static_cast<float>(xx),
            .xy = static_cast<float>(xy),
            .x0 = static_cast<float>(centre - xx * x - xy * y),
            .yx = static_cast<float>(-sin),
            .yy = static_cast<float>(cos),
            .y0 = static_cast<float>(centre + sin * x - cos * y)};
}

void random_warps(std::span<const std::int64_t> indices, const WarpRange& range, std::uint64_t seed,
                  std::uint64_t epoch, std::span<float> out) {
    check(range);
    if (out.size() != indices.size() * 2 * parameters_of_warp) {
        throw std::invalid_argument(std::to_string(indices.size()) + " pairs need 10 parameters each");
    }
    const std::uint32_t number = checked_epoch(epoch);
    for (const std::int64_t index : indices) {
        if (index < 0) {
            throw std::invalid_argument("index of a pair must not be negative, not " + std::to_string(index));
        }
        for (const std::uint64_t side : {0U, 1U}) {
            const Warp warp = random_warp(range, seed, number, static_cast<std::uint64_t>(index), side);
            const std::array values{warp.rotation, warp.factor, warp.shear, warp.dx, warp.dy};
            std::ranges::copy(values, out.begin());
            out = out.subspan(values.size());
        }
    }
}

void warp(std::span<const std::uint16_t> images, std::span<const float> parameters, std::span<float> out,
          const Kernels& with) {
    const std::size_t count = images.size() / pooled_size;
    if (images.size() != count * pooled_size || parameters.size() != count * parameters_of_warp ||
        out.size() != images.size()) {
        throw std::invalid_argument("images must be whole, with 5 parameters and a place in out each");
    }
    for (std::size_t k = 0; k < count; ++k) {
        const auto values = parameters.subspan(k * parameters_of_warp).first<parameters_of_warp>();
        const Warp warp{
            .rotation = values[0], .factor = values[1], .shear = values[2], .dx = values[3], .dy = values[4]};
        if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }) || warp.factor <= 0) {
            throw std::invalid_argument("parameters of warp " + std::to_string(k) +
                                        " must be finite, its factor positive");
        }
        with.warp(&images[k * pooled_size], &out[k * pooled_size], source_of(warp), {.shift = 0.0F, .scale = 0.25F});
    }
}

}  // namespace pairnet
