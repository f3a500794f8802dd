#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "images.h"
#include "philox.h"
#include "warp.h"

using namespace pairnet;

namespace {

constexpr WarpRange usual{.rotation = 12, .scale = 0.12F, .shear = 0.1F, .shift = 1, .elastic = 0.8F};

/// The parameters of a warp that is not elastic.
std::array<float, warp_parameters> affine(float rotation, float factor, float shear, float dx, float dy) {
    return {rotation, factor, factor, shear, dx, dy};
}

std::vector<std::uint16_t> random_images(std::size_t count) {
    Random random(12, Purpose::glyph, 0, 0);
    std::vector<std::uint16_t> images(count * pooled_size);
    for (auto& pixel : images) {
        pixel = static_cast<std::uint16_t>(random.below(1'021));
    }
    return images;
}

}  // namespace

TEST_CASE("the identity warp changes nothing") {
    const auto image = random_images(1);
    std::vector<float> out(image.size());
    warp(image, affine(0, 1, 0, 0, 0), out, kernels("auto"));
    for (std::size_t k = 0; k < image.size(); ++k) {
        REQUIRE(out[k] == static_cast<float>(image[k]) / 4);
    }
}

TEST_CASE("a shift moves pixels and brings in zeros") {
    const auto image = random_images(1);
    std::vector<float> out(image.size());
    warp(image, affine(0, 1, 0, 2, -1), out, kernels("auto"));
    for (std::size_t y = 0; y < 14; ++y) {
        for (std::size_t x = 0; x < 14; ++x) {
            const float expected = x < 2 || y > 12 ? 0.0F : static_cast<float>(image[(y + 1) * 14 + x - 2]) / 4;
            REQUIRE(out[y * 14 + x] == expected);
        }
    }
}

TEST_CASE("equal knots are a shift, knots of zero change no bit") {
    const auto image = random_images(1);
    auto parameters = affine(0, 1, 0, 0, 0);
    std::fill(parameters.begin() + 6, parameters.begin() + 6 + knots_count, 3.0F);
    std::fill(parameters.begin() + 6 + knots_count, parameters.end(), -2.0F);
    std::vector<float> out(image.size());
    std::vector<float> expected(image.size());
    warp(image, parameters, out, kernels("auto"));
    warp(image, affine(0, 1, 0, -3, 2), expected, kernels("auto"));
    for (std::size_t k = 0; k < image.size(); ++k) {
        CHECK(out[k] == doctest::Approx(expected[k]).epsilon(1e-4));
    }
    const Normaliser by{.shift = 0, .scale = 0.25F};
    const Warp turned = random_warp({.rotation = 12, .scale = 0, .shear = 0, .shift = 0, .elastic = 0}, 1, 2, 3, 0);
    for (const Kernels* level : simd_levels()) {
        level->warp(image.data(), out.data(), source_of(turned), &turned.knots, by);
        level->warp(image.data(), expected.data(), source_of(turned), nullptr, by);
        CHECK_MESSAGE(out == expected, level->name);
    }
}

TEST_CASE("a positive quarter turn moves the top to the right") {
    std::vector<std::uint16_t> image(196);
    image[0 * 14 + 6] = 1'020;
    std::vector<float> out(196);
    warp(image, affine(90, 1, 0, 0, 0), out, kernels("auto"));
    CHECK(out[6 * 14 + 13] == doctest::Approx(255).epsilon(1e-5));
}

TEST_CASE("all instruction sets warp to the same bits, also far outside the image") {
    constexpr std::size_t count = 64;
    const auto images = random_images(count);
    for (const float far : {1.0F, 10.0F, 1e30F}) {
        std::vector<float> parameters;
        for (std::uint64_t k = 0; k < count; ++k) {
            const Warp one = random_warp(usual, 1, 2, k, 0);
            parameters.insert(parameters.end(), {far * one.rotation, one.factor_x, one.factor_y, far * one.shear,
                                                 far * one.dx, far * one.dy});
            for (const auto& knots : {one.knots.x, one.knots.y}) {
                for (std::size_t knot = 0; knot < knots_count; ++knot) {
                    parameters.push_back(far * knots[knot]);
                }
            }
        }
        std::vector<float> expected(images.size());
        warp(images, parameters, expected, kernels("baseline"));
        for (const Kernels* level : simd_levels()) {
            std::vector<float> out(images.size());
            warp(images, parameters, out, *level);
            CHECK_MESSAGE(out == expected, level->name);
        }
    }
}

TEST_CASE("random warps stay within their range and differ by pair, side, epoch and seed") {
    const std::array<std::int64_t, 3> pairs{0, 1, 1'000'000};
    std::vector<float> out(pairs.size() * 2 * warp_parameters);
    random_warps(pairs, usual, 5, 6, out);
    for (std::size_t k = 0; k < out.size(); k += warp_parameters) {
        CHECK(std::abs(out[k]) <= 12);
        CHECK(std::abs(out[k + 1] - 1) <= 0.12001F);
        CHECK(std::abs(out[k + 2] - 1) <= 0.12001F);
        CHECK(out[k + 1] != out[k + 2]);
        CHECK(std::abs(out[k + 3]) <= 0.1F);
        CHECK(std::abs(out[k + 4]) <= 1);
        CHECK(std::abs(out[k + 5]) <= 1);
        for (std::size_t knot = 6; knot < warp_parameters; ++knot) {
            CHECK(std::abs(out[k + knot]) <= 0.8F * 5.8F);  // the largest of 2^24 lengths
            CHECK(out[k + knot] != 0);
        }
    }
    const float first = random_warp(usual, 5, 6, 0, 0).rotation;
    CHECK(out[0] == first);
    CHECK(first != random_warp(usual, 5, 6, 0, 1).rotation);
    CHECK(first != random_warp(usual, 5, 6, 1, 0).rotation);
    CHECK(first != random_warp(usual, 5, 7, 0, 0).rotation);
    CHECK(first != random_warp(usual, 6, 6, 0, 0).rotation);
}

TEST_CASE("elastic displacements are those that records were made with") {
    // They need IEEE arithmetic only, so these are the bits of every machine.
    std::uint64_t digest = 0xcbf29ce484222325;  // FNV-1a
    for (std::uint64_t pair = 0; pair < 500; ++pair) {
        const Knots knots =
            random_warp({.rotation = 0, .scale = 0, .shear = 0, .shift = 0, .elastic = 1}, 3, 7, pair, 1).knots;
        for (const auto* values : {&knots.x, &knots.y}) {
            for (const float value : *values) {
                digest = (digest ^ std::bit_cast<std::uint32_t>(value)) * 0x100000001b3;
            }
        }
    }
    CHECK(digest == 18'248'831'504'472'447'996U);
}

TEST_CASE("warps reject arguments out of bounds") {
    const std::array<std::int64_t, 1> pair{0};
    std::vector<float> out(2 * warp_parameters);
    CHECK_THROWS_AS(random_warps(pair, {.rotation = -1, .scale = 0, .shear = 0, .shift = 0, .elastic = 0}, 0, 0, out),
                    std::invalid_argument);
    CHECK_THROWS_AS(random_warps(pair, {.rotation = 0, .scale = 1, .shear = 0, .shift = 0, .elastic = 0}, 0, 0, out),
                    std::invalid_argument);
    CHECK_THROWS_AS(
        random_warps(pair, {.rotation = 0, .scale = 0, .shear = std::nanf(""), .shift = 0, .elastic = 0}, 0, 0, out),
        std::invalid_argument);
    CHECK_THROWS_AS(random_warps(pair, {.rotation = 0, .scale = 0, .shear = 0, .shift = 0, .elastic = -1}, 0, 0, out),
                    std::invalid_argument);
    CHECK_THROWS_AS(random_warps(pair, usual, 0, epoch_limit, out), std::invalid_argument);
    CHECK_THROWS_AS(random_warps(std::array<std::int64_t, 1>{-1}, usual, 0, 0, out), std::invalid_argument);
    std::vector<float> image(196);
    const auto grey = random_images(1);
    for (const std::size_t axis : {1U, 2U}) {
        for (const float factor : {0.0F, -1.0F}) {
            auto parameters = affine(0, 1, 0, 0, 0);
            parameters.at(axis) = factor;
            CHECK_THROWS_AS(warp(grey, parameters, image, kernels("auto")), std::invalid_argument);
        }
    }
    CHECK_THROWS_AS(warp(grey, affine(0, 1, 0, INFINITY, 0), image, kernels("auto")), std::invalid_argument);
    CHECK_THROWS_AS(warp(grey, std::array<float, 6>{0, 1, 1, 0, 0, 0}, image, kernels("auto")), std::invalid_argument);
}
