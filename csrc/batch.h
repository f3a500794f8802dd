/// The memory of batches: one aligned block each, used again once its batch is gone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace pairnet {

/// A cache line.
struct alignas(64) Line {
    std::array<std::byte, 64> bytes;
};

/// Memory for one batch, as long as its pool says.
struct Block {
    std::unique_ptr<Line[]> lines;
    std::thread::id owner;  // the thread that took it last
};

class BatchPool;

/// `size` pairs in one block of memory that goes back to its pool with the batch. Each part starts a cache line.
class Batch {
  public:
    Batch(std::shared_ptr<BatchPool> pool, std::size_t size);
    ~Batch();
    Batch(const Batch&) = delete;
    Batch(Batch&&) = delete;
    Batch& operator=(const Batch&) = delete;
    Batch& operator=(Batch&&) = delete;

    std::size_t size() const { return size_; }
    std::span<float> pair();           ///< [size,2,14,14]
    std::span<float> target();         ///< [size]
    std::span<std::int64_t> digits();  ///< [size,2]

  private:
    std::shared_ptr<BatchPool> pool_;
    std::size_t size_;
    Block block_;
};

/// Blocks for batches of up to `capacity` pairs, of which `spare` are kept for later use: fresh memory would cost its
/// page faults each time, and they cost more than filling it. Lives as long as the last of its batches.
class BatchPool {
  public:
    BatchPool(std::size_t capacity, std::size_t spare);

    std::size_t capacity() const { return capacity_; }

    /// A block that held a batch before, or a new one. Rather one that this thread has filled before: the cache of
    /// another thread's core may still hold the others, and would have to hand them over line by line.
    Block take();
    /// Keeps a block for the next batch, or frees it where enough are kept.
    void give(Block block) noexcept;
    /// Frees what is kept, and from now on keeps nothing.
    void retire();

  private:
    std::size_t capacity_;
    std::mutex mutex_;  // guards spare_ and kept_
    std::size_t spare_;
    std::vector<Block> kept_;
};

}  // namespace pairnet
