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

Pipeline::Pipeline(std::size_t threads, std::size_t window) : ring_(checked("prefetch", window, 65'536)) {
    workers_.reserve(checked("threads", threads, 1'024));
    try {
        while (workers_.size() < threads) {
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

void Pipeline::start(Job job, std::size_t first, std::size_t end) {
    auto run = std::make_shared<const Run>(Run{.job = std::move(job), .end = end});
    std::vector<Result> dropped(ring_.size());
    {
        const std::lock_guard lock(mutex_);
        if (closed_) {
            throw std::runtime_error("the loader is closed");
        }
        run_.swap(run);
        ring_.swap(dropped);
        begun_ = first;
        delivered_ = first;
    }
    work_.notify_all();
    ready_.notify_all();
}

std::optional<std::shared_ptr<Batch>> Pipeline::next(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    const auto slot = [this]() -> Result& { return ring_[delivered_ % ring_.size()]; };
    const bool awake = ready_.wait_for(lock, patience, [&] {
        return closed_ || delivered_ >= run_->end || slot().batch != nullptr || slot().error != nullptr;
    });
    if (!awake) {
        return std::nullopt;
    }
    if (closed_) {
        throw std::runtime_error("the loader is closed");
    }
    if (delivered_ >= run_->end) {
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
    std::vector<Result> dropped(ring_.size());
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        workers_.swap(workers);
        ring_.swap(dropped);
    }
    work_.notify_all();
    ready_.notify_all();
    for (std::thread& worker : workers) {
        worker.join();
    }
}

Pipeline::Result Pipeline::attempt(const Run& run, std::size_t number) {
    try {
        return {.batch = run.job(number), .error = nullptr};
    } catch (...) {
        return {.batch = nullptr, .error = std::current_exception()};
    }
}

void Pipeline::work() {
    const auto may_begin = [this] { return begun_ < run_->end && begun_ < delivered_ + ring_.size(); };
    std::unique_lock lock(mutex_);
    for (;;) {
        work_.wait(lock, [&] { return closed_ || may_begin(); });
        if (closed_) {
            return;
        }
        std::shared_ptr<const Run> run = run_;
        const std::size_t number = begun_++;
        lock.unlock();
        Result result = attempt(*run, number);
        lock.lock();
        if (run == run_ && !closed_) {
            ring_[number % ring_.size()] = std::move(result);
            if (number == delivered_) {
                ready_.notify_all();
            }
        } else {  // nobody waits for it: free it while nobody waits for us
            lock.unlock();
            result = {};
            run.reset();
            lock.lock();
        }
    }
}

}  // namespace pairnet
