#include "warp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

#include "images.h"
#include "philox.h"

namespace pairnet {
namespace {

static_assert(sizeof(Warp) == warp_parameters * sizeof(float));  // so it can be copied as an array of them

void check_magnitude(const char* name, float value) {
    if (!std::isfinite(value) || value < 0) {
        throw std::invalid_argument("expected a finite `" + std::string(name) + "` of at least 0, got " +
                                    std::to_string(value));
    }
}

/// Normally distributed numbers of standard deviation `deviation`, two from each two words (Box and Muller, 1958): each
/// knot gets a random length and a random direction. Computed from power series, which need only IEEE arithmetic and so
/// give the same bits on every machine; the error is below 1e-6.
Knots normal_knots(const std::array<std::uint32_t, 2 * knots_count>& words, float deviation) {
    std::array<float, knots_count> lengths;
    std::array<float, knots_count> cosines;
    std::array<float, knots_count> sines;
    for (std::size_t k = 0; k < knots_count; ++k) {
        // u in (0, 1] is m * 2^exponent, m in [0.7, 1.4]; ln m = 2 artanh((m - 1) / (m + 1)).
        const auto integer = static_cast<std::int32_t>(words[k] >> 8U);
        const auto u = std::bit_cast<std::uint32_t>((static_cast<float>(integer) + 1.0F) * 0x1p-24F);
        constexpr std::uint32_t root_half = 0x3F3504F3;
        const auto exponent = static_cast<std::int32_t>(u - root_half) >> 23;
        const auto m = std::bit_cast<float>(u - (static_cast<std::uint32_t>(exponent) << 23U));
        const float z = (m - 1.0F) / (m + 1.0F);
        const float zz = z * z;
        const float artanh = z * (1.0F + zz * (1.0F / 3 + zz * (1.0F / 5 + zz * (1.0F / 7))));
        const float ln = static_cast<float>(exponent) * std::numbers::ln2_v<float> + 2.0F * artanh;
        lengths[k] = deviation * std::sqrt(-2.0F * ln);

        // An angle of at most an eighth of a turn from one of the four axes, which the two lowest bits select.
        const auto word = static_cast<std::int32_t>(words[knots_count + k]);
        const float angle = static_cast<float>(word) * (0x1p-33F * std::numbers::pi_v<float>);
        const float aa = angle * angle;
        cosines[k] = 1.0F - aa / 2 * (1.0F - aa / 12 * (1.0F - aa / 30 * (1.0F - aa / 56)));
        sines[k] = angle * (1.0F - aa / 6 * (1.0F - aa / 20 * (1.0F - aa / 42 * (1.0F - aa / 72))));
    }
    Knots knots;
    for (std::size_t k = 0; k < knots_count; ++k) {
        const std::uint32_t word = words[knots_count + k];
        const float along = (word & 1U) != 0 ? -lengths[k] : lengths[k];
        const bool upright = (word & 2U) != 0;
        knots.x[k] = along * (upright ? sines[k] : cosines[k]);
        knots.y[k] = along * (upright ? cosines[k] : sines[k]);
    }
    return knots;
}

}  // namespace

void check(const WarpRange& range) {
    check_magnitude("rotation", range.rotation);
    check_magnitude("scale", range.scale);
    check_magnitude("shear", range.shear);
    check_magnitude("shift", range.shift);
    check_magnitude("elastic", range.elastic);
    if (range.scale >= 1) {
        throw std::invalid_argument("expected `scale` below 1, got " + std::to_string(range.scale));
    }
}

Warp random_warp(const WarpRange& range, std::uint64_t seed, std::uint32_t epoch, std::uint64_t pair,
                 std::uint64_t side) {
    Random random(seed, Purpose::warp, epoch, 2 * pair + side);
    const auto within = [&](float magnitude) { return random.uniform(-magnitude, magnitude); };
    Warp warp{};
    warp.rotation = within(range.rotation);
    warp.factor_x = 1.0F + within(range.scale);
    warp.factor_y = 1.0F + within(range.scale);
    warp.shear = within(range.shear);
    warp.dx = within(range.shift);
    warp.dy = within(range.shift);
    if (range.elastic > 0) {
        Random words(seed, Purpose::elastic, epoch, 2 * pair + side);
        warp.knots = normal_knots(words.many<2 * knots_count>(), range.elastic);
    }
    return warp;
}

Affine source_of(const Warp& warp) {
    // p = c + [1/factor_x 0; 0 1/factor_y] * [1 -shear; 0 1] * R(-rotation) * (q - c - d)
    const double angle = static_cast<double>(warp.rotation) * std::numbers::pi / 180;
    const double cos = std::cos(angle);
    const double sin = std::sin(angle);
    const double shear = warp.shear;
    const double xx = (cos + shear * sin) / static_cast<double>(warp.factor_x);
    const double xy = (sin - shear * cos) / static_cast<double>(warp.factor_x);
    const double yx = -sin / static_cast<double>(warp.factor_y);
    const double yy = cos / static_cast<double>(warp.factor_y);
    const double centre = (pooled_side - 1) / 2.0;
    const double x = centre + static_cast<double>(warp.dx);
    const double y = centre + static_cast<double>(warp.dy);
    return {.xx = static_cast<float>(xx),
            .xy = static_cast<float>(xy),
            .x0 = static_cast<float>(centre - xx * x - xy * y),
            .yx = static_cast<float>(yx),
            .yy = static_cast<float>(yy),
            .y0 = static_cast<float>(centre - yx * x - yy * y)};
}

void random_warps(std::span<const std::int64_t> indices, const WarpRange& range, std::uint64_t seed,
                  std::uint64_t epoch, std::span<float> out) {
    check(range);
    if (out.size() != indices.size() * 2 * warp_parameters) {
        throw std::invalid_argument("expected 76 places in out for each of " + std::to_string(indices.size()) +
                                    " pairs, got " + std::to_string(out.size()));
    }
    const std::uint32_t number = checked_epoch(epoch);
    for (const std::int64_t index : indices) {
        if (index < 0) {
            throw std::invalid_argument("expected `indices` of at least 0, got " + std::to_string(index));
        }
        for (const std::uint64_t side : {0U, 1U}) {
            const Warp warp = random_warp(range, seed, number, static_cast<std::uint64_t>(index), side);
            std::ranges::copy(std::bit_cast<std::array<float, warp_parameters>>(warp), out.begin());
            out = out.subspan(warp_parameters);
        }
    }
}

void warp(std::span<const std::uint16_t> images, std::span<const float> parameters, std::span<float> out,
          const Kernels& with) {
    const std::size_t count = images.size() / pooled_size;
    if (images.size() != count * pooled_size || parameters.size() != count * warp_parameters ||
        out.size() != images.size()) {
        throw std::invalid_argument(
            "expected images of 196 pixels, 38 parameters for each, and as much space in out, got " +
            std::to_string(images.size()) + ", " + std::to_string(parameters.size()) + " and " +
            std::to_string(out.size()));
    }
    for (std::size_t k = 0; k < count; ++k) {
        std::array<float, warp_parameters> values;
        std::ranges::copy(parameters.subspan(k * warp_parameters, warp_parameters), values.begin());
        const auto warp = std::bit_cast<Warp>(values);
        if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); }) || warp.factor_x <= 0 ||
            warp.factor_y <= 0) {
            throw std::invalid_argument("expected finite `parameters` and positive factors, got others in row " +
                                        std::to_string(k));
        }
        with.warp(&images[k * pooled_size], &out[k * pooled_size], source_of(warp), &warp.knots,
                  {.shift = 0.0F, .scale = 0.25F});
    }
}

}  // namespace pairnet
