/// Counter-based random numbers: each value is a function of (seed, purpose, epoch, index), so any thread can compute
/// any of them in any order. Philox4x32-10 from Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1,
/// 2, 3" (2011).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "checks.h"

namespace pairnet {

/// Four random words for one counter and key: ten rounds of Philox4x32.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
    constexpr auto high = [](std::uint64_t product) { return static_cast<std::uint32_t>(product >> 32U); };
    constexpr auto low = [](std::uint64_t product) { return static_cast<std::uint32_t>(product); };
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t left = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t right = std::uint64_t{0xCD9E8D57} * counter[2];
        counter = {high(right) ^ counter[1] ^ key[0], low(right), high(left) ^ counter[3] ^ key[1], low(left)};
        key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
    }
    return counter;
}

/// Use of random numbers: no two purposes share a sequence.
enum class Purpose : std::uint32_t { draw = 1, order = 2, warp = 3, glyph = 4, elastic = 5 };

/// Number of epochs: the last is epoch_limit - 1.
inline constexpr std::uint32_t epoch_limit = 1U << 28U;

/// Returns `epoch`. Throws std::invalid_argument unless it is below epoch_limit.
inline std::uint32_t checked_epoch(std::uint64_t epoch) {
    return static_cast<std::uint32_t>(in_range<std::uint64_t>("epoch", epoch, 0, epoch_limit - 1));
}

/// An endless sequence of random numbers, a function of (seed, purpose, epoch, index). `Ahead` blocks are computed at
/// once: this changes no number, and a larger value is faster if many are used, since compilers vectorise it.
template <std::size_t Ahead>
class RandomStream {
  public:
    RandomStream(std::uint64_t seed, Purpose purpose, std::uint32_t epoch, std::uint64_t index)
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)},
          counter_{0, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U),
                   (static_cast<std::uint32_t>(purpose) << 28U) | checked_epoch(epoch)} {}

    /// 32 random bits.
    std::uint32_t bits() {
        if (used_ == words) {
            refill();
        }
        const std::size_t word = used_++;
        return blocks_[word % 4][word / 4];
    }

    /// An integer in [0, bound), each equally likely; bound is at least 1.
    std::uint32_t below(std::uint32_t bound) {
        // The high word of bits*bound; low words that would bias the result are rejected (Lemire 2019).
        std::uint64_t product = std::uint64_t{bits()} * bound;
        if (static_cast<std::uint32_t>(product) < bound) {
            const std::uint32_t surplus = (0 - bound) % bound;
            while (static_cast<std::uint32_t>(product) < surplus) {
                product = std::uint64_t{bits()} * bound;
            }
        }
        return static_cast<std::uint32_t>(product >> 32U);
    }

    /// A number in [low, high), from 24 random bits.
    float uniform(float low, float high) { return low + (high - low) * (static_cast<float>(bits() >> 8U) * 0x1p-24F); }

    /// The next `Count` values of bits().
    template <std::size_t Count>
    std::array<std::uint32_t, Count> many() {
        std::array<std::uint32_t, Count> result;
        for (std::uint32_t& value : result) {
            value = bits();
        }
        return result;
    }

  private:
    static constexpr std::size_t words = 4 * Ahead;

    /// Computes the blocks of the next counters.
    void refill() {
        for (std::size_t k = 0; k < Ahead; ++k) {
            std::array<std::uint32_t, 4> counter = counter_;
            counter[0] += static_cast<std::uint32_t>(k);
            const std::array<std::uint32_t, 4> block = philox(counter, key_);
            for (std::size_t word = 0; word < block.size(); ++word) {
                blocks_[word][k] = block[word];
            }
        }
        counter_[0] += static_cast<std::uint32_t>(Ahead);
        used_ = 0;
    }

    std::array<std::uint32_t, 2> key_;
    std::array<std::uint32_t, 4> counter_;
    std::array<std::array<std::uint32_t, Ahead>, 4> blocks_{};  // word w of block k at [w][k]
    std::size_t used_ = words;
};

/// Random numbers for short loops.
using Random = RandomStream<1>;

}  // namespace pairnet
