#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "moments.h"
#include "philox.h"

using namespace pairnet;

namespace {

std::vector<std::uint16_t> random_pixels(std::size_t count) {
    Random random(11, Purpose::glyph, 0, count);
    std::vector<std::uint16_t> pixels(count);
    for (auto& pixel : pixels) {
        pixel = static_cast<std::uint16_t>(random.below(1'021));
    }
    return pixels;
}

}  // namespace

TEST_CASE("moments equal two passes in long double, for any number of threads") {
    for (const std::size_t count : {2U, 3U, 1'000U, 39'200U}) {
        const auto pixels = random_pixels(count);
        long double mean = 0;
        for (const auto pixel : pixels) {
            mean += pixel / 4.0L;
        }
        mean /= static_cast<long double>(count);
        long double squares = 0;
        for (const auto pixel : pixels) {
            squares += (pixel / 4.0L - mean) * (pixel / 4.0L - mean);
        }
        const auto expected = static_cast<double>(std::sqrt(squares / static_cast<long double>(count - 1)));
        const Moments found = moments(pixels, 1);
        CHECK(found.mean == doctest::Approx(static_cast<double>(mean)).epsilon(1e-13));
        CHECK(found.std == doctest::Approx(expected).epsilon(1e-13));
        for (const std::size_t threads : {2U, 7U}) {
            CHECK(moments(pixels, threads).mean == found.mean);
            CHECK(moments(pixels, threads).std == found.std);
        }
    }
}

TEST_CASE("moments of equal pixels, and of too few") {
    const Moments found = moments(std::vector<std::uint16_t>(100, 65'535), 1);
    CHECK(found.mean == 65'535 / 4.0);
    CHECK(found.std == 0);
    CHECK_THROWS_AS(moments(std::vector<std::uint16_t>(1), 1), std::invalid_argument);
}

TEST_CASE("all instruction sets normalise to the same bits") {
    const auto pixels = random_pixels(1'021);  // not a multiple of any vector
    const Moments of{.mean = 33.3, .std = 71.9};
    const Normaliser by = normaliser(of);
    std::vector<float> expected(pixels.size());
    normalise(pixels, expected, by, 1, kernels("baseline"));
    for (std::size_t k = 0; k < pixels.size(); ++k) {
        REQUIRE(expected[k] == doctest::Approx((pixels[k] / 4.0 - of.mean) / of.std).epsilon(1e-6));
    }
    for (const Kernels* level : simd_levels()) {
        std::vector<float> out(pixels.size());
        normalise(pixels, out, by, 3, *level);
        CHECK_MESSAGE(out == expected, level->name);
    }
    CHECK(&kernels("auto") == simd_levels().front());
    CHECK_THROWS_AS(kernels("mmx"), std::invalid_argument);
    CHECK_THROWS_AS(normalise(pixels, std::span(expected).first(5), by, 1, kernels("auto")), std::invalid_argument);
}

TEST_CASE("a normaliser needs finite moments and a positive deviation") {
    const double infinite = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(normaliser({.mean = 0, .std = 0}), std::invalid_argument);
    CHECK_THROWS_AS(normaliser({.mean = 0, .std = -1}), std::invalid_argument);
    CHECK_THROWS_AS(normaliser({.mean = 0, .std = infinite}), std::invalid_argument);
    CHECK_THROWS_AS(normaliser({.mean = std::nan(""), .std = 1}), std::invalid_argument);
}
