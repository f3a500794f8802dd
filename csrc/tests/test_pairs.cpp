#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <vector>

#include "pairs.h"

using namespace pairnet;

TEST_CASE("a draw holds no image twice and is a function of its arguments") {
    for (const std::uint64_t size : {2U, 10U, 1'001U}) {
        const auto drawn = draw(size, size / 2, 3);
        CHECK(drawn.size() == size / 2 * 2);
        CHECK(std::set(drawn.begin(), drawn.end()).size() == drawn.size());
        CHECK(*std::ranges::min_element(drawn) >= 0);
        CHECK(*std::ranges::max_element(drawn) < static_cast<std::int64_t>(size));
        CHECK(drawn == draw(size, size / 2, 3));
    }
    CHECK(draw(1'000, 100, 3) != draw(1'000, 100, 4));
    CHECK(draw(4'000'000'000, 3, 1).size() == 6);  // as fast as a small pool
    CHECK(draw(10, 0, 1).empty());
}

TEST_CASE("a shorter draw is the beginning of a longer one") {
    const auto few = draw(50, 5, 9);
    const auto many = draw(50, 25, 9);
    CHECK(std::equal(few.begin(), few.end(), many.begin()));
}

TEST_CASE("a draw puts every image in every position equally often") {
    std::array<std::array<int, 4>, 4> seen{};
    for (std::uint64_t seed = 0; seed < 24'000; ++seed) {
        const auto drawn = draw(4, 2, seed);
        for (std::size_t place = 0; place < 4; ++place) {
            ++seen.at(place).at(static_cast<std::size_t>(drawn[place]));
        }
    }
    for (const auto& place : seen) {
        for (const int count : place) {
            CHECK(count > 5'700);
            CHECK(count < 6'300);
        }
    }
}

TEST_CASE("a draw rejects more pairs than there are images") {
    CHECK_THROWS_AS(draw(9, 5, 0), std::invalid_argument);
    CHECK_THROWS_AS(draw(std::uint64_t{1} << 32U, 5, 0), std::invalid_argument);
    CHECK_THROWS_AS(draw(10, ~std::uint64_t{0}, 0), std::invalid_argument);
}

TEST_CASE("an order is a permutation, a different one each epoch") {
    auto order = shuffled(1'000, 1, 0);
    CHECK(order == shuffled(1'000, 1, 0));
    CHECK(order != shuffled(1'000, 1, 1));
    CHECK(order != shuffled(1'000, 2, 0));
    std::ranges::sort(order);
    for (std::uint32_t k = 0; k < 1'000; ++k) {
        REQUIRE(order[k] == k);
    }
    CHECK(shuffled(0, 0, 0).empty());
}

TEST_CASE("every order of three is equally likely") {
    std::array<int, 27> seen{};
    for (std::uint32_t epoch = 0; epoch < 12'000; ++epoch) {
        const auto order = shuffled(3, 7, epoch);
        ++seen.at(9 * order[0] + 3 * order[1] + order[2]);
    }
    CHECK(std::ranges::count_if(seen, [](int count) { return count > 1'800 && count < 2'200; }) == 6);
}

TEST_CASE("a target is 1 where first <= second") {
    const std::array<std::uint8_t, 6> digits{3, 4, 4, 4, 5, 4};
    std::array<float, 3> out{};
    targets(digits, out);
    CHECK(out == std::array<float, 3>{1, 1, 0});
    CHECK_THROWS_AS(targets(std::span(digits).first(4), out), std::invalid_argument);
}

TEST_CASE("targets need two digits each") {
    std::vector<float> out(3);
    CHECK_THROWS_WITH_AS(targets(std::vector<std::uint8_t>(5), out), "expected 6 digits for 3 targets, got 5",
                         std::invalid_argument);
}
