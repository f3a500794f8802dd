/// Pairs drawn without replacement, the order of an epoch, and targets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pairnet {

/// The first 2*pairs entries of a random permutation of range(size), two by two: a function of (size, pairs, seed).
/// Time and memory grow with pairs, not with size.
/// Throws std::invalid_argument if 2*pairs > size or size >= 2^32.
std::vector<std::int64_t> draw(std::uint64_t size, std::uint64_t pairs, std::uint64_t seed);

/// A random permutation of range(size): a function of (size, seed, epoch).
/// Throws std::invalid_argument if size >= 2^32.
std::vector<std::uint32_t> shuffled(std::size_t size, std::uint64_t seed, std::uint32_t epoch);

/// 1 if the first digit is less than or equal to the second, else 0.
inline float target(std::uint8_t first, std::uint8_t second) {
    return first <= second ? 1.0F : 0.0F;
}

/// The target of each pair: digits [n,2] -> out [n]. Throws std::invalid_argument if the sizes do not match.
void targets(std::span<const std::uint8_t> digits, std::span<float> out);

}  // namespace pairnet
