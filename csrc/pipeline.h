/// Numbered jobs, run ahead of a reader by worker threads and by the reader itself, which receives their batches in
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
#include "process.h"

namespace pairnet {

/// At most `window` jobs are finished or running before the reader takes the first of them. Any thread may call it. In
/// a process forked from the one that created it, start() and next() throw std::runtime_error, close() does nothing,
/// and the destructor must not run: it would wait for threads that do not exist there.
class Pipeline {
  public:
    /// Makes batch `number`. Called by several threads at the same time.
    using Job = std::function<std::shared_ptr<Batch>(std::uint64_t number)>;

    /// `threads` includes the reader's, so one thread needs no worker. Throws std::invalid_argument unless threads is
    /// in 1..max_threads and window (the loader's prefetch) in 1..max_prefetch; std::system_error if a thread cannot be
    /// started.
    Pipeline(Job job, std::size_t threads, std::size_t window);
    ~Pipeline();
    Pipeline(const Pipeline&) = delete;
    Pipeline(Pipeline&&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    Pipeline& operator=(Pipeline&&) = delete;

    /// Makes next() return batches first..end-1. Jobs end..limit-1 are run ahead too: a start that continues at `end`
    /// uses their batches, any other start drops them. Throws std::runtime_error after close().
    void start(std::uint64_t first, std::uint64_t end, std::uint64_t limit);

    /// The next batch; a null pointer after the last; nothing if it is not ready after `timeout`: then call again.
    /// Until it is ready, this runs jobs that have not begun, and waits only if there are none. Throws the exception of
    /// the job that makes this batch, again at each call until the next start; std::runtime_error after close().
    std::optional<std::shared_ptr<Batch>> next(std::chrono::milliseconds timeout);

    /// Stops and joins the workers and drops their batches. The destructor does this too.
    void close();

  private:
    /// The result of a finished job, or an empty place for one.
    struct Result {
        std::shared_ptr<Batch> batch;
        std::exception_ptr error;
    };

    /// Throws std::runtime_error in a forked process.
    void check_process() const;
    Result attempt(std::uint64_t number) const;
    bool may_begin() const;
    /// Runs the next job with the lock released. Needs may_begin().
    void run_one(std::unique_lock<std::mutex>& lock);
    void work();
    /// Removes and returns all results; those of running jobs will be dropped.
    std::vector<Result> drop();

    const Process process_;
    const Job job_;
    std::mutex mutex_;               // guards all members below
    std::condition_variable work_;   // signals that a job can begin, or that the pipeline is closed
    std::condition_variable ready_;  // signals that a job has ended, or that the pipeline is closed
    std::uint64_t begun_ = 0;        // number of the next job to begin
    std::uint64_t delivered_ = 0;    // number of the next batch to deliver
    std::uint64_t end_ = 0;          // the reader receives batches below this
    std::uint64_t limit_ = 0;        // jobs below this may be run ahead
    std::uint64_t drops_ = 0;        // calls of drop(): a thread compares it to know if its result is still needed
    std::vector<Result> ring_;       // result of job k at k % window
    bool closed_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace pairnet
