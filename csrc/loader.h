/// Pooled pairs in, normalised, shuffled and perhaps warped batches out, delivered in order.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
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
    std::size_t threads = 1;        ///< that make batches, the one that calls next() among them
    std::size_t prefetch = 4;       ///< batches made ahead, into the next epoch but no further
    std::optional<WarpRange> warp;  ///< random warps, new each epoch, one for each image
    std::string simd = "auto";      ///< instruction set, see kernels.h
};

/// Pair i of epoch e depends on (seed, e, i) alone, whatever threads, prefetch and simd are. Any thread may call it.
class Loader {
  public:
    /// Reads pixels [n,2,14,14] (sums of four grey levels) and digits [n,2] where they lie: they must stay there, as
    /// they are, for as long as the loader. Throws std::invalid_argument for sizes that do not fit and for options out
    /// of bounds.
    Loader(std::span<const std::uint16_t> pixels, std::span<const std::uint8_t> digits, const LoaderOptions& options);
    ~Loader();
    Loader(const Loader&) = delete;
    Loader(Loader&&) = delete;
    Loader& operator=(const Loader&) = delete;
    Loader& operator=(Loader&&) = delete;

    /// Batches in an epoch.
    std::size_t batches() const;

    /// Begins to make the batches of an epoch from `first` on. What is made ahead stays where this goes on with the
    /// epoch after one that has ended, and is dropped where not. Throws std::invalid_argument when first > batches() or
    /// epoch >= 2^28.
    void start(std::uint64_t epoch, std::uint64_t first);

    /// The next batch, a null pointer at the end of the epoch, nothing if it takes longer; see Pipeline::next.
    std::optional<std::shared_ptr<Batch>> next(std::chrono::milliseconds patience) { return pipeline_.next(patience); }

    /// Stops and joins the workers; batches handed out stay good.
    void close();

  private:
    /// The pairs of an epoch in their order.
    using Order = std::vector<std::uint32_t>;
    struct KeptOrder {
        std::mutex mutex;  // guards the two below, also while they are made
        std::uint32_t epoch = 0;
        std::shared_ptr<const Order> order;
    };

    /// The order of an epoch; made by the thread that needs it first.
    std::shared_ptr<const Order> order(std::uint32_t epoch);
    /// Batch `number`, counted from the beginning of epoch 0.
    std::shared_ptr<Batch> make(std::uint64_t number);

    LoaderOptions options_;
    Normaliser normaliser_;
    const Kernels& kernels_;
    std::span<const std::uint16_t> pixels_;
    std::span<const std::uint8_t> digits_;
    std::array<KeptOrder, 2> orders_;  // that of epoch e at e % 2
    std::shared_ptr<BatchPool> pool_;
    Pipeline pipeline_;  // last: its threads end before what they read
};

}  // namespace pairnet
