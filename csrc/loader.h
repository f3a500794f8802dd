/// Batches of pooled pairs: normalised, optionally shuffled and warped, delivered in order.
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

/// Options of a loader.
struct LoaderOptions {
    Moments moments;                ///< used to normalise pixels
    std::size_t batch = 25;         ///< pairs in a batch
    std::uint64_t seed = 0;         ///< seed of orders and warps
    bool shuffle = true;            ///< a new order each epoch, else that of the pairs
    bool drop_last = false;         ///< omit a last batch that is not full
    std::size_t threads = 1;        ///< threads that make batches, including the caller of next(); 1..max_threads
    std::size_t prefetch = 4;       ///< batches made ahead, up to the end of the next epoch; 1..max_prefetch
    std::optional<WarpRange> warp;  ///< random warps, new for each image and epoch
    std::string simd = "auto";      ///< instruction set, see kernels.h
};

/// Pair i of epoch e depends only on (seed, e, i), not on threads, prefetch or simd. Any thread may call it. In a
/// process forked from the one that created it, start() and next() throw std::runtime_error, close() does nothing, and
/// the destructor must not run (see LoaderDeleter).
class Loader {
  public:
    /// Reads pixels [n,2,14,14] (sums of four grey levels) and digits [n,2] in place: they must exist, unchanged, as
    /// long as the loader. Throws std::invalid_argument for sizes that do not match and options out of bounds,
    /// std::system_error if a thread cannot be started.
    Loader(std::span<const std::uint16_t> pixels, std::span<const std::uint8_t> digits, const LoaderOptions& options);
    ~Loader();
    Loader(const Loader&) = delete;
    Loader(Loader&&) = delete;
    Loader& operator=(const Loader&) = delete;
    Loader& operator=(Loader&&) = delete;

    /// Number of batches in an epoch.
    std::size_t batches() const;

    /// Begins to make the batches of an epoch, starting with `first`. Batches made ahead are used if this continues
    /// with the epoch after one that has ended, else dropped. Throws std::invalid_argument if first > batches() or
    /// epoch >= 2^28; std::runtime_error after close().
    void start(std::uint64_t epoch, std::uint64_t first);

    /// The next batch, a null pointer at the end of the epoch, nothing after `timeout`; see Pipeline::next.
    std::optional<std::shared_ptr<Batch>> next(std::chrono::milliseconds timeout) { return pipeline_.next(timeout); }

    /// Stops and joins the workers; delivered batches stay valid.
    void close();

    /// Whether this process was forked from the one that created the loader.
    bool is_forked() const { return process_.is_forked(); }

  private:
    /// The pairs of an epoch in their order.
    using Order = std::vector<std::uint32_t>;
    struct KeptOrder {
        std::mutex mutex;  // guards epoch and order, also while the order is made
        std::uint32_t epoch = 0;
        std::shared_ptr<const Order> order;
    };

    /// The order of an epoch; made by the first thread that needs it.
    std::shared_ptr<const Order> order(std::uint32_t epoch);
    /// Batch `number`, counted from the beginning of epoch 0.
    std::shared_ptr<Batch> make(std::uint64_t number);

    const Process process_;
    LoaderOptions options_;
    Normaliser normaliser_;
    const Kernels& kernels_;
    std::span<const std::uint16_t> pixels_;
    std::span<const std::uint8_t> digits_;
    std::array<KeptOrder, 2> orders_;  // the order of epoch e is at e % 2
    std::shared_ptr<BatchPool> pool_;
    Pipeline pipeline_;  // last: its threads end before their data is destroyed
};

/// Deletes a loader, but not in a forked process: there its threads do not exist and its locks may be held forever, so
/// its memory is deliberately leaked.
struct LoaderDeleter {
    void operator()(const Loader* loader) const;  ///< also accepts a null pointer
};

}  // namespace pairnet
