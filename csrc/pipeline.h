/// Worker threads that run numbered jobs ahead of one reader, who receives their batches in order.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
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
    /// Makes batch `number`. Called by several threads at once, so it changes nothing that they share.
    using Job = std::function<std::shared_ptr<Batch>(std::size_t number)>;

    /// Throws std::invalid_argument unless threads is in 1..1024 and window (the loader's prefetch) in 1..65536.
    Pipeline(std::size_t threads, std::size_t window);
    ~Pipeline();
    Pipeline(const Pipeline&) = delete;
    Pipeline(Pipeline&&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    Pipeline& operator=(Pipeline&&) = delete;

    /// Begins jobs first..end-1; what an earlier start left is dropped. Throws std::runtime_error after close().
    void start(Job job, std::size_t first, std::size_t end);

    /// The next batch; a null pointer after the last; nothing when it is not ready within `patience`.
    /// Throws what the job threw that makes this batch, now and again until the next start; std::runtime_error after
    /// close().
    std::optional<std::shared_ptr<Batch>> next(std::chrono::milliseconds patience);

    /// Wakes and joins the workers, and drops what they made. The destructor does this too.
    void close();

  private:
    /// What one start asked for; a worker sees by its address whether it still stands.
    struct Run {
        Job job;
        std::size_t end = 0;
    };
    /// A finished job, or an empty place for one.
    struct Result {
        std::shared_ptr<Batch> batch;
        std::exception_ptr error;
    };

    void work();
    static Result attempt(const Run& run, std::size_t number);

    std::mutex mutex_;               // guards everything below
    std::condition_variable work_;   // a job may be begun, or all is over
    std::condition_variable ready_;  // a job has ended, or all is over
    std::shared_ptr<const Run> run_ = std::make_shared<Run>();
    std::size_t begun_ = 0;      // number of the next job to begin
    std::size_t delivered_ = 0;  // number of the next batch to deliver
    std::vector<Result> ring_;   // result of job k at k % window
    bool closed_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace pairnet
