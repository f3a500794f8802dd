#include "pipeline.h"

#include <stdexcept>
#include <utility>

#include "checks.h"

namespace pairnet {

Pipeline::Pipeline(Job job, std::size_t threads, std::size_t window)
    : job_(std::move(job)), ring_(in_range<std::size_t>("prefetch", window, 1, max_prefetch)) {
    const std::size_t workers = in_range<std::size_t>("threads", threads, 1, max_threads) - 1;
    workers_.reserve(workers);
    try {
        while (workers_.size() < workers) {
            workers_.emplace_back([this] { work(); });
        }
    } catch (...) {  // the system cannot start another thread
        close();
        throw;
    }
}

Pipeline::~Pipeline() {
    close();
}

void Pipeline::start(std::uint64_t first, std::uint64_t end, std::uint64_t limit) {
    check_process();
    std::vector<Result> dropped;
    {
        const std::lock_guard lock(mutex_);
        if (closed_) {
            throw std::runtime_error("the loader is closed");
        }
        if (delivered_ != end_ || first != end_) {
            dropped = drop();
            begun_ = first;
            delivered_ = first;
        }
        end_ = end;
        limit_ = limit;
    }
    work_.notify_all();
    ready_.notify_all();
}

std::optional<std::shared_ptr<Batch>> Pipeline::next(std::chrono::milliseconds timeout) {
    check_process();
    std::unique_lock lock(mutex_);
    const auto slot = [this]() -> Result& { return ring_[delivered_ % ring_.size()]; };
    const auto ready = [&] {
        return closed_ || delivered_ == end_ || slot().batch != nullptr || slot().error != nullptr;
    };
    if (!ready()) {
        if (may_begin()) {
            run_one(lock);
            return std::nullopt;
        }
        if (!ready_.wait_for(lock, timeout, ready)) {
            return std::nullopt;
        }
    }
    if (closed_) {
        throw std::runtime_error("the loader is closed");
    }
    if (delivered_ == end_) {
        return std::shared_ptr<Batch>();
    }
    if (slot().error != nullptr) {
        std::rethrow_exception(slot().error);
    }
    std::shared_ptr<Batch> batch = std::exchange(slot().batch, nullptr);
    ++delivered_;
    lock.unlock();
    work_.notify_one();
    return batch;
}

void Pipeline::close() {
    if (process_.is_forked()) {
        return;
    }
    std::vector<std::thread> workers;
    std::vector<Result> dropped;
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        workers_.swap(workers);
        dropped = drop();
    }
    work_.notify_all();
    ready_.notify_all();
    for (std::thread& worker : workers) {
        worker.join();
    }
}

void Pipeline::check_process() const {
    if (process_.is_forked()) {
        throw std::runtime_error(
            "expected a call in the process that created the loader, got one in a fork of it: create a loader there");
    }
}

Pipeline::Result Pipeline::attempt(std::uint64_t number) const {
    try {
        return {.batch = job_(number), .error = nullptr};
    } catch (...) {
        return {.batch = nullptr, .error = std::current_exception()};
    }
}

bool Pipeline::may_begin() const {
    return begun_ < limit_ && begun_ < delivered_ + ring_.size();
}

void Pipeline::run_one(std::unique_lock<std::mutex>& lock) {
    const std::uint64_t drops = drops_;
    const std::uint64_t number = begun_++;
    lock.unlock();
    Result result = attempt(number);
    lock.lock();
    if (drops == drops_) {
        ring_[number % ring_.size()] = std::move(result);
        if (number == delivered_) {
            ready_.notify_all();
        }
    } else {  // not needed any more: free it without the lock
        lock.unlock();
        result = {};
        lock.lock();
    }
}

void Pipeline::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        work_.wait(lock, [this] { return closed_ || may_begin(); });
        if (closed_) {
            return;
        }
        run_one(lock);
    }
}

std::vector<Pipeline::Result> Pipeline::drop() {
    ++drops_;
    return std::exchange(ring_, std::vector<Result>(ring_.size()));
}

}  // namespace pairnet
