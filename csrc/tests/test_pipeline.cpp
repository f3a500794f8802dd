#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "batch.h"
#include "philox.h"
#include "pipeline.h"

using namespace pairnet;
using namespace std::chrono_literals;

namespace {

/// A batch that carries its number.
std::shared_ptr<Batch> numbered(const std::shared_ptr<BatchPool>& pool, std::size_t number) {
    auto batch = std::make_shared<Batch>(pool, 1);
    batch->digits()[0] = static_cast<std::int64_t>(number);
    return batch;
}

/// The number of the next batch; nothing at the end.
std::optional<std::int64_t> next(Pipeline& pipeline) {
    for (;;) {
        if (const auto batch = pipeline.next(10ms)) {
            return *batch == nullptr ? std::nullopt : std::optional((*batch)->digits()[0]);
        }
    }
}

}  // namespace

TEST_CASE("batches come in order, whatever the order they are finished in") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    for (const std::size_t threads : {1U, 2U, 7U}) {
        for (const std::size_t window : {1U, 3U, 16U}) {
            Pipeline pipeline(threads, window);
            CHECK_FALSE(next(pipeline));
            pipeline.start(
                [&](std::size_t number) {
                    std::this_thread::sleep_for(std::chrono::microseconds(number * 37 % 11 * 20));
                    return numbered(pool, number);
                },
                5, 60);
            for (std::int64_t number = 5; number < 60; ++number) {
                REQUIRE(next(pipeline) == number);
            }
            CHECK_FALSE(next(pipeline));
            CHECK_FALSE(next(pipeline));
        }
    }
}

TEST_CASE("no more than the window is made ahead") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<std::size_t> made{0};
    Pipeline pipeline(4, 3);
    pipeline.start(
        [&](std::size_t number) {
            ++made;
            return numbered(pool, number);
        },
        0, 100);
    std::this_thread::sleep_for(20ms);
    CHECK(made == 3);
    CHECK(next(pipeline) == 0);
    std::this_thread::sleep_for(20ms);
    CHECK(made == 4);
}

TEST_CASE("patience ends") {
    std::atomic<bool> go{false};
    const auto pool = std::make_shared<BatchPool>(1, 4);
    Pipeline pipeline(1, 1);
    pipeline.start(
        [&](std::size_t number) {
            go.wait(false);
            return numbered(pool, number);
        },
        0, 1);
    CHECK_FALSE(pipeline.next(1ms));
    go = true;
    go.notify_all();
    CHECK(next(pipeline) == 0);
}

TEST_CASE("an error comes with the batch it belongs to, and stays until the next start") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    Pipeline pipeline(3, 8);
    const auto failing = [&](std::size_t number) {
        if (number == 4) {
            throw std::runtime_error("batch " + std::to_string(number));
        }
        return numbered(pool, number);
    };
    pipeline.start(failing, 0, 10);
    for (std::int64_t number = 0; number < 4; ++number) {
        CHECK(next(pipeline) == number);
    }
    CHECK_THROWS_WITH(next(pipeline), "batch 4");
    CHECK_THROWS_WITH(next(pipeline), "batch 4");
    pipeline.start(failing, 5, 10);
    CHECK(next(pipeline) == 5);
}

TEST_CASE("close wakes who waits, and start refuses after it") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<bool> go{false};
    Pipeline pipeline(1, 1);
    pipeline.start(
        [&](std::size_t number) {
            go.wait(false);
            return numbered(pool, number);
        },
        0, 1);
    std::thread closing([&] {
        std::this_thread::sleep_for(5ms);
        go = true;
        go.notify_all();
        pipeline.close();
    });
    try {
        next(pipeline);  // 0 when it wins against close
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "the loader is closed");
    }
    closing.join();
    CHECK_THROWS_AS(next(pipeline), std::runtime_error);
    CHECK_THROWS_AS(pipeline.start({}, 0, 0), std::runtime_error);
    pipeline.close();
}

TEST_CASE("threads and window have bounds") {
    CHECK_THROWS_AS(Pipeline(0, 1), std::invalid_argument);
    CHECK_THROWS_AS(Pipeline(1, 0), std::invalid_argument);
    CHECK_THROWS_AS(Pipeline(100'000, 1), std::invalid_argument);
}

TEST_CASE("memory of batches is aligned, used again, and outlives its pool's owner") {
    auto pool = std::make_shared<BatchPool>(3, 1);
    auto batch = std::make_shared<Batch>(pool, 2);
    const float* place = batch->pair().data();
    CHECK(reinterpret_cast<std::uintptr_t>(place) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(batch->target().data()) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(batch->digits().data()) % 64 == 0);
    CHECK(batch->digits().size() == 4);
    batch.reset();
    batch = std::make_shared<Batch>(pool, 3);
    CHECK(batch->pair().data() == place);
    const auto other = std::make_shared<Batch>(pool, 1);
    CHECK(other->pair().data() != place);
    CHECK_THROWS_AS(std::make_shared<Batch>(pool, 4), std::invalid_argument);
    pool->retire();
    pool.reset();
    batch->pair()[3 * 392 - 1] = 1;
}
