#include "moments.h"

#include <atomic>
#include <cmath>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace pairnet {

Moments moments(std::span<const std::uint16_t> pixels, std::size_t threads) {
    if (pixels.size() < 2) {
        throw std::invalid_argument("expected at least 2 pixels, got " + std::to_string(pixels.size()));
    }
    std::atomic<std::uint64_t> total{0};
    std::atomic<std::uint64_t> squares{0};
    parallel(pixels.size(), threads, [&](std::size_t begin, std::size_t end) {
        std::uint64_t share_total = 0;
        std::uint64_t share_squares = 0;
        for (const std::uint16_t pixel : pixels.subspan(begin, end - begin)) {
            share_total += pixel;
            share_squares += std::uint32_t{pixel} * std::uint32_t{pixel};
        }
        total += share_total;
        squares += share_squares;
    });
    // The sum of squared deviations from the integer part of the mean is an exact integer too, and fits a double.
    const std::uint64_t count = pixels.size();
    const std::uint64_t whole = total / count;
    const std::uint64_t rest = total % count;
    const std::uint64_t deviations = squares - whole * (2 * total - whole * count);
    const double fraction = static_cast<double>(rest) / static_cast<double>(count);
    const double sum = static_cast<double>(deviations) - fraction * static_cast<double>(rest);
    return {.mean = (static_cast<double>(whole) + fraction) / 4,
            .std = std::sqrt(sum / static_cast<double>(count - 1)) / 4};
}

Normaliser normaliser(Moments of) {
    if (!std::isfinite(of.mean)) {
        throw std::invalid_argument("expected a finite `mean`, got " + std::to_string(of.mean));
    }
    if (!std::isfinite(of.std) || of.std <= 0) {
        throw std::invalid_argument("expected a finite and positive `std`, got " + std::to_string(of.std));
    }
    return {.shift = static_cast<float>(4 * of.mean), .scale = static_cast<float>(0.25 / of.std)};
}

void normalise(std::span<const std::uint16_t> pixels, std::span<float> out, Normaliser by, std::size_t threads,
               const Kernels& with) {
    if (pixels.size() != out.size()) {
        throw std::invalid_argument("expected " + std::to_string(pixels.size()) + " places in out, got " +
                                    std::to_string(out.size()));
    }
    parallel(pixels.size(), threads, [&](std::size_t begin, std::size_t end) {
        with.normalise(pixels.data() + begin, out.data() + begin, end - begin, by);
    });
}

}  // namespace pairnet
