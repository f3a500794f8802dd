#include "pairs.h"

#include <bit>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "checks.h"
#include "philox.h"

namespace pairnet {
namespace {

std::uint32_t checked_size(std::uint64_t size) {
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(in_range<std::uint64_t>("size", size, 0, most));
}

/// Random numbers for loops over all pairs.
using LongRandom = RandomStream<16>;

/// The part of a permutation that is not stored as an array: each place holds its own index until it is accessed.
/// A hash table with room for `places` accessed places.
class SparseTail {
  public:
    explicit SparseTail(std::size_t places) : entries_(std::bit_ceil(2 * places + 1), {.place = unused, .value = 0}) {}

    std::int64_t& operator[](std::uint32_t place) {
        const std::size_t mask = entries_.size() - 1;
        std::size_t k = (place * std::uint64_t{0x9E3779B97F4A7C15}) >> 32U & mask;  // Fibonacci hashing
        while (entries_[k].place != place && entries_[k].place != unused) {
            k = (k + 1) & mask;
        }
        if (entries_[k].place == unused) {
            entries_[k] = {.place = place, .value = place};
        }
        return entries_[k].value;
    }

  private:
    static constexpr std::uint32_t unused = std::numeric_limits<std::uint32_t>::max();
    struct Entry {
        std::uint32_t place;
        std::int64_t value;
    };
    std::vector<Entry> entries_;  // at most half of them in use
};

}  // namespace

std::vector<std::int64_t> draw(std::uint64_t size, std::uint64_t pairs, std::uint64_t seed) {
    const std::uint32_t pool = checked_size(size);
    if (pairs > pool / 2) {
        throw std::invalid_argument("expected at most " + std::to_string(pool / 2) + " `pairs` from " +
                                    std::to_string(size) + " images, got " + std::to_string(pairs));
    }
    // Fisher-Yates from the front. Only the front and the places that it was swapped with are stored.
    const auto count = static_cast<std::uint32_t>(2 * pairs);
    std::vector<std::int64_t> drawn(count);
    std::iota(drawn.begin(), drawn.end(), 0);
    SparseTail tail(count);
    LongRandom random(seed, Purpose::draw, 0, 0);
    for (std::uint32_t place = 0; place < count; ++place) {
        const std::uint32_t other = place + random.below(pool - place);
        std::swap(drawn[place], other < count ? drawn[other] : tail[other]);
    }
    return drawn;
}

std::vector<std::uint32_t> shuffled(std::size_t size, std::uint64_t seed, std::uint32_t epoch) {
    std::vector<std::uint32_t> order(checked_size(size));
    std::iota(order.begin(), order.end(), 0U);
    LongRandom random(seed, Purpose::order, epoch, 0);
    for (auto left = static_cast<std::uint32_t>(size); left > 1; --left) {
        std::swap(order[left - 1], order[random.below(left)]);
    }
    return order;
}

void targets(std::span<const std::uint8_t> digits, std::span<float> out) {
    if (digits.size() != 2 * out.size()) {
        throw std::invalid_argument("expected " + std::to_string(2 * out.size()) + " digits for " +
                                    std::to_string(out.size()) + " targets, got " + std::to_string(digits.size()));
    }
    for (std::size_t pair = 0; pair < out.size(); ++pair) {
        out[pair] = target(digits[2 * pair], digits[2 * pair + 1]);
    }
}

}  // namespace pairnet
