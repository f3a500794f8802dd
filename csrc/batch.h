/// The memory of batches: one aligned block for each, reused after its batch is destroyed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "process.h"

namespace pairnet {

/// A cache line.
struct alignas(64) Line {
    std::array<std::byte, 64> bytes;
};

/// Memory for one batch of its pool's capacity.
struct Block {
    std::unique_ptr<Line[]> lines;
    std::thread::id owner;  // the thread that used it last
};

class BatchPool;

/// A batch of `size` pairs in one block of memory, which is returned to its pool with the batch. Each array starts a
/// cache line.
class Batch {
  public:
    /// Throws std::invalid_argument if size is above the pool's capacity.
    Batch(std::shared_ptr<BatchPool> pool, std::size_t size);
    ~Batch();
    Batch(const Batch&) = delete;
    Batch(Batch&&) = delete;
    Batch& operator=(const Batch&) = delete;
    Batch& operator=(Batch&&) = delete;

    std::size_t size() const { return size_; }  ///< number of pairs
    std::span<float> pair();                    ///< [size,2,14,14]
    std::span<float> target();                  ///< [size]
    std::span<std::int64_t> digits();           ///< [size,2]

  private:
    std::shared_ptr<BatchPool> pool_;
    std::size_t size_;
    Block block_;
};

/// Blocks for batches of up to `capacity` pairs. Up to `spare` unused ones are kept: new memory causes page faults,
/// which take longer than filling it. Exists until its last batch is destroyed.
class BatchPool {
  public:
    BatchPool(std::size_t capacity, std::size_t spare);

    std::size_t capacity() const { return capacity_; }  ///< pairs that fit a block

    /// A kept block or a new one; preferably one that this thread used before, since the others may still be in the
    /// cache of another core.
    Block take();
    /// Keeps a block for the next batch, or frees it if enough are kept, or in a forked process.
    void give(Block block) noexcept;
    /// Frees the kept blocks and keeps none from now on.
    void retire();

  private:
    const Process process_;
    std::size_t capacity_;
    std::mutex mutex_;  // guards spare_ and kept_
    std::size_t spare_;
    std::vector<Block> kept_;
};

}  // namespace pairnet
