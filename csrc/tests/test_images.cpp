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
        pool_at(images, 28, rows, pooled, threads);
        for (std::size_t k = 0; k < pooled.size(); ++k) {
            const std::size_t row = k / 196;
            const std::size_t y = 2 * (k % 196 / 14);
            const std::size_t x = 2 * (k % 14);
            const std::uint8_t* corner = &images[static_cast<std::size_t>(rows[row]) * 784 + y * 28 + x];
            REQUIRE(pooled[k] == corner[0] + corner[1] + corner[28] + corner[29]);
        }
    }
}

TEST_CASE("pooled images are multiplied by four") {
    std::vector<std::uint8_t> images(196);
    std::iota(images.begin(), images.end(), std::uint8_t{60});
    std::vector<std::uint16_t> pooled(196);
    pool_at(images, 14, std::array<std::int64_t, 1>{0}, pooled, 1);
    CHECK(pooled[0] == 240);
    CHECK(pooled[195] == 1020);
}

TEST_CASE("pooling rejects sizes and indices that do not match") {
    const std::vector<std::uint8_t> images(784);
    std::vector<std::uint16_t> pooled(196);
    CHECK_THROWS_AS(pool_at(images, 20, std::array<std::int64_t, 1>{0}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool_at(images, 28, std::array<std::int64_t, 1>{1}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool_at(images, 28, std::array<std::int64_t, 1>{-1}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool_at(images, 28, std::array<std::int64_t, 2>{0, 0}, pooled, 1), std::invalid_argument);
    CHECK_THROWS_WITH(pool_at(images, 28, std::array<std::int64_t, 1>{0}, pooled, 0),
                      "expected `threads` in 1..1024, got 0");
    std::vector<std::uint16_t> three(3 * 196);
    CHECK_THROWS_WITH(pool_at(images, 28, std::array<std::int64_t, 3>{0, 7, -9}, three, 3),
                      "expected `indices` of 1 images, got 7");
    CHECK_THROWS_AS(pool(std::span(images).first(783), pooled, 1), std::invalid_argument);
    CHECK_THROWS_AS(pool(images, std::span(pooled).first(195), 1), std::invalid_argument);
}

TEST_CASE("pool equals pool_at for all indices, for any number of threads") {
    std::vector<std::uint8_t> images(5 * image_size);
    std::iota(images.begin(), images.end(), std::uint8_t{0});
    std::vector<std::uint16_t> expected(5 * pooled_size);
    pool_at(images, 28, std::array<std::int64_t, 5>{0, 1, 2, 3, 4}, expected, 1);
    for (const std::size_t threads : {1U, 2U, 7U}) {
        std::vector<std::uint16_t> pooled(expected.size());
        pool(images, pooled, threads);
        CHECK(pooled == expected);
    }
}

TEST_CASE("parallel rejects threads out of bounds") {
    const auto nothing = [](std::size_t, std::size_t) {};
    CHECK_THROWS_AS(parallel(5, 0, nothing), std::invalid_argument);
    CHECK_THROWS_WITH(parallel(5, 1'000'000, nothing), "expected `threads` in 1..1024, got 1000000");
    CHECK_NOTHROW(parallel(5, max_threads, nothing));
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
