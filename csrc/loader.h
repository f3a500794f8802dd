/// Pooled pairs in, normalised, shuffled and perhaps warped batches out, delivered in order.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "batch.h"
#include "kernels.h"
#include "moments.h"
#include "pipeline.h"
#include "warp.h"

namespace pairnet {

/// How a loader makes batches.
struct LoaderOptions {
    Moments moments;                ///< what pixels are normalised with
    std::size_t batch = 25;         ///< pairs in a batch
    std::uint64_t seed = 0;         ///< of order and warps
    bool shuffle = true;            ///< a new order each epoch, else as the pairs come
    bool drop_last = false;         ///< leave out a last batch that is not full
    std::size_t threads = 1;        ///< worker threads
    std::size_t prefetch = 4;       ///< batches made ahead
    std::optional<WarpRange> warp;  ///< random warps, new each epoch, one for each image
    std::string simd = "auto";      ///< instruction set, see kernels.h
};

/// Pair i of epoch e depends on (seed, e, i) alone, whatever threads, prefetch and simd are. Any thread may call it.
class Loader {
  public:
    /// Takes a copy of pixels [n,2,14,14] (sums of four grey levels) and digits [n,2].
    /// Throws std::invalid_argument for sizes that do not fit and for options out of bounds.
    Loader(std::span<const std::uint16_t> pixels, std::span<const std::uint8_t> digits, const LoaderOptions& options);
    ~Loader();
    Loader(const Loader&) = delete;
    Loader(Loader&&) = delete;
    Loader& operator=(const Loader&) = delete;
    Loader& operator=(Loader&&) = delete;

    /// Batches in an epoch.
    std::size_t batches() const;

    /// Begins to make the batches of an epoch from `first` on; what an earlier start left is dropped.
    /// Throws std::invalid_argument when first > batches() or epoch >= 2^28.
    void start(std::uint64_t epoch, std::uint64_t first);

    /// The next batch, a null pointer at the end of the epoch, nothing if it takes longer; see Pipeline::next.
    std::optional<std::shared_ptr<Batch>> next(std::chrono::milliseconds patience) { return pipeline_.next(patience); }

    /// Stops and joins the workers; batches handed out stay good.
    void close();

  private:
    /// A batch of the pairs `rows`.
    std::shared_ptr<Batch> make(std::span<const std::uint32_t> rows, std::uint32_t epoch) const;

    LoaderOptions options_;
    Normaliser normaliser_;
    const Kernels& kernels_;
    std::vector<std::uint16_t> pixels_;
    std::vector<std::uint8_t> digits_;
    std::shared_ptr<BatchPool> pool_;
    Pipeline pipeline_;  // last: its threads end before what they read
};

}  // namespace pairnet
