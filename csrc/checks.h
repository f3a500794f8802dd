/// Checks of numbers that a caller gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace pairnet {

inline constexpr std::size_t max_threads = 1'024;    ///< threads of one call or of one loader
inline constexpr std::size_t max_prefetch = 65'536;  ///< batches that a loader may make ahead

/// Returns `value`. Throws std::invalid_argument, with the name, the bounds and the value, unless low <= value <= high.
template <class Number>
Number in_range(std::string_view name, Number value, Number low, Number high) {
    if (value < low || value > high) {
        throw std::invalid_argument("expected `" + std::string(name) + "` in " + std::to_string(low) + ".." +
                                    std::to_string(high) + ", got " + std::to_string(value));
    }
    return value;
}

}  // namespace pairnet
