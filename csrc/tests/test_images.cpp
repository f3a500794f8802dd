#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "images.h"
#include "parallel.h"

using namespace pairnet;

TEST_CASE("pooling sums 2x2 blocks of the images asked for") {
    std::vector<std::uint8_t> images(3 * 28 * 28);
    for (std::size_t k = 0; k < images.size(); ++k) {
        images[k] = static_cast<std::uint8_t>(k * 7 % 256);
    }
    const std::array<std::int64_t, 4> rows{2, 0, 0, 1};
    for (const std::size_t threads : {1U, 3U, 9U}) {
        std::vector<std::uint16_t> pooled(rows.size() * pooled_size);
        pool(images, 28, rows, pooled, threads);
        for (std::size_t k = 0; k < pooled.size(); ++k) {
            const std::size_t row = k / 196;
            const std::size_t y = 2 * (k % 196 / 14);
            const std::size_t x = 2 * (k % 14);
            const std::uint8_t* corner = &images[static_cast<std::size_t>(rows[row]) * 784 + y * 28 + x];
            REQUIRE(pooled[k] == corner[0] + corner[1] + corner[28] + corner[29]);
        }
    }
}

TEST_CASE("pooled images are taken times four") {
    std::vector<std::uint8_t> images(196);
    std::iota(images.begin(), images.end(), std::uint8_t{60});
    std::vector<std::uint16_t> pooled(196);
    pool(images, 14, std::array<std::int64_t, 1>{0}, pooled, 1);
    CHECK(pooled[0] == 240);
    CHECK(pooled[195] == 1020);
}

TEST_CASE("pooling refuses what does not fit") {
    const std::vector<std::uint8_t> images(784);
    std::vector<std::uint16_t> pooled(196);
    CHECK_THROWS_AS(pool(images, 20, std::array<std::int64_t, 1>{0}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool(images, 28, std::array<std::int64_t, 1>{1}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool(images, 28, std::array<std::int64_t, 1>{-1}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool(images, 28, std::array<std::int64_t, 2>{0, 0}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool(images, 28, std::array<std::int64_t, 1>{0}, pooled, 0), std::invalid_argument);
}

TEST_CASE("parallel covers each element once and rethrows") {
    for (const std::size_t count : {0U, 1U, 5U, 64U}) {
        for (const std::size_t threads : {1U, 2U, 7U}) {
            std::vector<int> seen(count);
            parallel(count, threads, [&](std::size_t begin, std::size_t end) {
                for (std::size_t k = begin; k < end; ++k) {
                    ++seen[k];
                }
            });
            CHECK(seen == std::vector<int>(count, 1));
        }
    }
    const auto failing = [](std::size_t begin, std::size_t) {
        if (begin > 0) {
            throw std::runtime_error("share");
        }
    };
    CHECK_THROWS_WITH(parallel(10, 3, failing), "share");
}
