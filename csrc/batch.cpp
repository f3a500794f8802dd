#include "batch.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "images.h"

namespace pairnet {
namespace {

/// Number of lines that `count` values fill.
template <class Value>
constexpr std::size_t lines(std::size_t count) {
    return (count * sizeof(Value) + sizeof(Line) - 1) / sizeof(Line);
}

/// `count` values of a block, starting at line `first`.
template <class Value>
std::span<Value> section(const Block& block, std::size_t first, std::size_t count) {
    return {reinterpret_cast<Value*>(block.lines.get() + first), count};
}

std::size_t checked_size(const BatchPool& pool, std::size_t size) {
    if (size > pool.capacity()) {
        throw std::invalid_argument("expected at most " + std::to_string(pool.capacity()) + " pairs in a batch, got " +
                                    std::to_string(size));
    }
    return size;
}

}  // namespace

Batch::Batch(std::shared_ptr<BatchPool> pool, std::size_t size)
    : pool_(std::move(pool)), size_(checked_size(*pool_, size)), block_(pool_->take()) {}

Batch::~Batch() {
    pool_->give(std::move(block_));
}

std::span<float> Batch::pair() {
    return section<float>(block_, 0, size_ * pair_size);
}

std::span<float> Batch::target() {
    return section<float>(block_, lines<float>(size_ * pair_size), size_);
}

std::span<std::int64_t> Batch::digits() {
    return section<std::int64_t>(block_, lines<float>(size_ * pair_size) + lines<float>(size_), 2 * size_);
}

BatchPool::BatchPool(std::size_t capacity, std::size_t spare) : capacity_(capacity), spare_(spare) {
    kept_.reserve(spare);
}

Block BatchPool::take() {
    const auto self = std::this_thread::get_id();
    {
        const std::lock_guard lock(mutex_);
        if (!kept_.empty()) {
            const auto own =
                std::find_if(kept_.rbegin(), kept_.rend(), [self](const Block& b) { return b.owner == self; });
            std::swap(own != kept_.rend() ? *own : kept_.back(), kept_.back());
            Block block = std::move(kept_.back());
            kept_.pop_back();
            block.owner = self;
            return block;
        }
    }
    const std::size_t size =
        lines<float>(capacity_ * pair_size) + lines<float>(capacity_) + lines<std::int64_t>(2 * capacity_);
    return {.lines = std::make_unique_for_overwrite<Line[]>(size), .owner = self};
}

void BatchPool::give(Block block) noexcept {
    if (process_.is_forked()) {
        return;  // the mutex may be locked forever; the block is freed
    }
    const std::lock_guard lock(mutex_);
    if (kept_.size() < spare_) {
        kept_.push_back(std::move(block));  // within the reserved capacity: does not throw
    }
}

void BatchPool::retire() {
    const std::lock_guard lock(mutex_);
    spare_ = 0;
    kept_.clear();
}

}  // namespace pairnet
