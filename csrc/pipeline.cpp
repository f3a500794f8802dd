#include "pipeline.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace pairnet {
namespace {

std::size_t checked(const char* name, std::size_t value, std::size_t most) {
    if (value == 0 || value > most) {
        throw std::invalid_argument(std::string(name) + " must be in 1.." + std::to_string(most) + ", not " +
                                    std::to_string(value));
    }
    return value;
}

}  // namespace

Pipeline::Pipeline(Job job, std::size_t threads, std::size_t window)
    : job_(std::move(job)), ring_(checked("prefetch", window, 65'536)) {
    const std::size_t workers = checked("threads", threads, 1'024) - 1;
    workers_.reserve(workers);
    try {
        while (workers_.size() < workers) {
            workers_.emplace_back([this] { work(); });
        }
    } catch (...) {  // the system has no more threads
        close();
        throw;
    }
}

Pipeline::~Pipeline() {
    close();
}

void Pipeline::start(std::uint64_t first, std::uint64_t end, std::uint64_t limit) {
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

std::optional<std::shared_ptr<Batch>> Pipeline::next(std::chrono::milliseconds patience) {
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
        if (!ready_.wait_for(lock, patience, ready)) {
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
    } else {  // nobody waits for it: free it while nobody waits for us
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
