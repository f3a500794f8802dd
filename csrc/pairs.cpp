#include "pairs.h"

#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include "philox.h"

namespace pairnet {
namespace {

std::uint32_t checked_size(std::uint64_t size) {
    if (size > std::numeric_limits<std::uint32_t>::max()) {
        throw std::invalid_argument("size must be below 2^32, not " + std::to_string(size));
    }
    return static_cast<std::uint32_t>(size);
}

}  // namespace

std::vector<std::int64_t> draw(std::uint64_t size, std::uint64_t pairs, std::uint64_t seed) {
    const std::uint32_t pool = checked_size(size);
    if (pairs > pool / 2) {
        throw std::invalid_argument(std::to_string(pairs) + " pairs need " + std::to_string(2 * pairs) +
                                    " images, not " + std::to_string(size));
    }
    // Fisher-Yates from the front over an array that holds its own index wherever `moved` says nothing else.
    const auto count = static_cast<std::uint32_t>(2 * pairs);
    std::unordered_map<std::uint32_t, std::uint32_t> moved(count);
    const auto at = [&](std::uint32_t place) {
        const auto entry = moved.find(place);
        return entry == moved.end() ? place : entry->second;
    };
    Random random(seed, Purpose::draw, 0, 0);
    std::vector<std::int64_t> drawn(count);
    for (std::uint32_t place = 0; place < count; ++place) {
        const std::uint32_t other = place + random.below(pool - place);
        drawn[place] = at(other);
        moved[other] = at(place);
    }
    return drawn;
}

std::vector<std::uint32_t> shuffled(std::size_t size, std::uint64_t seed, std::uint32_t epoch) {
    std::vector<std::uint32_t> order(checked_size(size));
    std::iota(order.begin(), order.end(), 0U);
    Random random(seed, Purpose::order, epoch, 0);
    for (auto left = static_cast<std::uint32_t>(size); left > 1; --left) {
        std::swap(order[left - 1], order[random.below(left)]);
    }
    return order;
}

void targets(std::span<const std::uint8_t> digits, std::span<float> out) {
    if (digits.size() != 2 * out.size()) {
        throw std::invalid_argument(std::to_string(out.size()) + " targets need twice as many digits, not " +
                                    std::to_string(digits.size()));
    }
    for (std::size_t pair = 0; pair < out.size(); ++pair) {
        out[pair] = target(digits[2 * pair], digits[2 * pair + 1]);
    }
}

}  // namespace pairnet
