/// Mean and standard deviation of pooled pixels, and normalisation with them.
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

/// The moments of pooled pixels (sums of four grey levels). Computed from exact integer sums, and so the same for any
/// number of threads. Throws std::invalid_argument for fewer than two pixels or threads out of bounds.
Moments moments(std::span<const std::uint16_t> pixels, std::size_t threads);

/// The map from a pooled pixel to (pixel/4 - mean) / std.
/// Throws std::invalid_argument unless mean is finite and std is finite and positive.
Normaliser normaliser(Moments of);

/// Normalises pooled pixels -> out, of the same size. Throws std::invalid_argument if the sizes differ or threads is
/// out of bounds.
void normalise(std::span<const std::uint16_t> pixels, std::span<float> out, Normaliser by, std::size_t threads,
               const Kernels& with);

}  // namespace pairnet
