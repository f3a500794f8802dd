/// Numbered jobs, run ahead of one reader by worker threads and by the reader itself, who receives their batches in
/// order.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "batch.h"

namespace pairnet {

/// At most `window` jobs are finished or under way before the reader takes the first of them.
class Pipeline {
  public:
    /// Makes batch `number`. Called by several threads at once, so it changes nothing that they share unguarded.
    using Job = std::function<std::shared_ptr<Batch>(std::uint64_t number)>;

    /// `threads` counts the reader's, so that one thread needs no worker. Throws std::invalid_argument unless threads
    /// is in 1..1024 and window (the loader's prefetch) in 1..65536.
    Pipeline(Job job, std::size_t threads, std::size_t window);
    ~Pipeline();
    Pipeline(const Pipeline&) = delete;
    Pipeline(Pipeline&&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    Pipeline& operator=(Pipeline&&) = delete;

    /// The reader is to receive batches first..end-1. Jobs beyond `end` are run ahead too, up to limit-1: a start that
    /// goes on where the last one ended finds them done. Any other start drops what is there.
    /// Throws std::runtime_error after close().
    void start(std::uint64_t first, std::uint64_t end, std::uint64_t limit);

    /// The next batch; a null pointer after the last; nothing when it takes longer than `patience`: then ask again.
    /// Until it is ready, this runs jobs that nobody has begun, and waits only where there are none. Throws what the
    /// job threw that makes this batch, now and again until the next start; std::runtime_error after close().
    std::optional<std::shared_ptr<Batch>> next(std::chrono::milliseconds patience);

    /// Wakes and joins the workers, and drops what they made. The destructor does this too.
    void close();

  private:
    /// A finished job, or an empty place for one.
    struct Result {
        std::shared_ptr<Batch> batch;
        std::exception_ptr error;
    };

    Result attempt(std::uint64_t number) const;
    bool may_begin() const;
    /// Runs the next job with the lock released. Needs may_begin().
    void run_one(std::unique_lock<std::mutex>& lock);
    void work();
    /// Forgets all results, and those of jobs under way.
    std::vector<Result> drop();

    const Job job_;
    std::mutex mutex_;               // guards everything below
    std::condition_variable work_;   // a job may be begun, or all is over
    std::condition_variable ready_;  // a job has ended, or all is over
    std::uint64_t begun_ = 0;        // number of the next job to begin
    std::uint64_t delivered_ = 0;    // number of the next batch to deliver
    std::uint64_t end_ = 0;
    std::uint64_t limit_ = 0;
    std::uint64_t drops_ = 0;   // a thread sees by it whether its result is still wanted
    std::vector<Result> ring_;  // result of job k at k % window
    bool closed_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace pairnet
