/// Mean and standard deviation of pooled pixels, and their normalisation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels.h"

namespace pairnet {

/// Mean and unbiased standard deviation, in grey levels 0..255.
struct Moments {
    double mean;
    double std;
};

/// The moments of pooled pixels (sums of four grey levels). From exact integer sums: the same for any thread count.
/// Throws std::invalid_argument for fewer than two pixels.
Moments moments(std::span<const std::uint16_t> pixels, std::size_t threads);

/// What maps a pooled pixel to (pixel/4 - mean) / std.
/// Throws std::invalid_argument unless mean is finite and std is finite and positive.
Normaliser normaliser(Moments of);

/// Normalises pooled pixels; out is as long as pixels. Throws std::invalid_argument when it is not.
void normalise(std::span<const std::uint16_t> pixels, std::span<float> out, Normaliser by, std::size_t threads,
               const Kernels& with);

}  // namespace pairnet
