/// A loop that is split among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <future>
#include <vector>

#include "checks.h"

namespace pairnet {

/// Calls work(begin, end) on up to `threads` contiguous shares of range(count), one of them on the calling thread.
/// Returns when all have ended. If shares throw, the exception of the first of them is rethrown.
/// Throws std::invalid_argument unless threads is in 1..max_threads.
template <class Work>
void parallel(std::size_t count, std::size_t threads, const Work& work) {
    in_range<std::size_t>("threads", threads, 1, max_threads);
    const std::size_t shares = std::max<std::size_t>(1, std::min(threads, count));
    const auto bound = [&](std::size_t share) { return count / shares * share + std::min(count % shares, share); };
    std::vector<std::future<void>> others;
    others.reserve(shares - 1);
    for (std::size_t share = 1; share < shares; ++share) {
        others.push_back(std::async(std::launch::async,
                                    [&work, begin = bound(share), end = bound(share + 1)] { work(begin, end); }));
    }
    work(std::size_t{0}, bound(1));
    for (auto& other : others) {
        other.get();
    }
}

}  // namespace pairnet
