#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <set>
#include <stdexcept>

#include "philox.h"

using namespace pairnet;

TEST_CASE("philox gives the known answers of Random123") {
    using Counter = std::array<std::uint32_t, 4>;
    constexpr std::uint32_t ones = 0xFFFFFFFF;
    static_assert(philox({0, 0, 0, 0}, {0, 0}) == Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox({ones, ones, ones, ones}, {ones, ones}) == Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Random depends on each of its arguments and on nothing else") {
    CHECK(Random(1, Purpose::draw, 2, 3).bits() == Random(1, Purpose::draw, 2, 3).bits());
    std::set<std::uint32_t> first;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32U}) {
        for (const Purpose purpose : {Purpose::draw, Purpose::order, Purpose::warp, Purpose::glyph}) {
            for (const std::uint32_t epoch : {0U, 1U, epoch_limit - 1}) {
                for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32U}) {
                    first.insert(Random(seed, purpose, epoch, index).bits());
                }
            }
        }
    }
    CHECK(first.size() == 3 * 4 * 3 * 3);
    CHECK_THROWS_AS(Random(0, Purpose::draw, epoch_limit, 0), std::invalid_argument);
}

TEST_CASE("below is uniform and within its bound") {
    Random random(5, Purpose::draw, 0, 0);
    std::array<int, 6> seen{};
    for (int k = 0; k < 60'000; ++k) {
        ++seen.at(random.below(6));
    }
    for (const int count : seen) {
        CHECK(count > 9'500);
        CHECK(count < 10'500);
    }
    CHECK(random.below(1) == 0);
    // For a bound just above 2^31, the remainder would give the low half twice as often.
    int low = 0;
    for (int k = 0; k < 10'000; ++k) {
        low += random.below(0xC0000000U) < 0x40000000U ? 1 : 0;
    }
    CHECK(low > 3'100);
    CHECK(low < 3'560);
    // For three quarters of 2^32, four random words give three values: without rejection, every third comes twice as
    // often.
    int thirds = 0;
    for (int k = 0; k < 10'000; ++k) {
        thirds += random.below(0xC0000000U) % 3 == 0 ? 1 : 0;
    }
    CHECK(thirds > 3'100);
    CHECK(thirds < 3'560);
}

TEST_CASE("uniform stays within its bounds") {
    Random random(5, Purpose::warp, 0, 0);
    for (int k = 0; k < 10'000; ++k) {
        const float value = random.uniform(-2, 3);
        CHECK_UNARY(value >= -2 && value < 3);
    }
}
