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

/// A batch whose digits are its number.
std::shared_ptr<Batch> numbered(const std::shared_ptr<BatchPool>& pool, std::uint64_t number) {
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

TEST_CASE("batches are delivered in order, in whatever order they are finished") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    for (const std::size_t threads : {1U, 2U, 7U}) {
        for (const std::size_t window : {1U, 3U, 16U}) {
            Pipeline pipeline(
                [&](std::uint64_t number) {
                    std::this_thread::sleep_for(std::chrono::microseconds(number * 37 % 11 * 20));
                    return numbered(pool, number);
                },
                threads, window);
            CHECK_FALSE(next(pipeline));
            pipeline.start(5, 60, 60);
            for (std::int64_t number = 5; number < 60; ++number) {
                REQUIRE(next(pipeline) == number);
            }
            CHECK_FALSE(next(pipeline));
            CHECK_FALSE(next(pipeline));
        }
    }
}

TEST_CASE("a start that continues uses the batches made ahead; any other drops them") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<std::size_t> made{0};
    Pipeline pipeline(
        [&](std::uint64_t number) {
            ++made;
            return numbered(pool, number);
        },
        2, 8);
    const auto settled = [&](std::size_t count) {
        for (int k = 0; k < 1'000 && made < count; ++k) {
            std::this_thread::sleep_for(1ms);
        }
        std::this_thread::sleep_for(5ms);
        return made == count;
    };
    pipeline.start(0, 3, 6);
    CHECK(settled(6));
    for (std::int64_t number = 0; number < 3; ++number) {
        CHECK(next(pipeline) == number);
    }
    CHECK_FALSE(next(pipeline));
    pipeline.start(3, 6, 6);
    for (std::int64_t number = 3; number < 5; ++number) {
        CHECK(next(pipeline) == number);
    }
    CHECK(settled(6));
    pipeline.start(6, 9, 9);  // before the end of the previous one
    CHECK(settled(9));
    CHECK(next(pipeline) == 6);
    pipeline.start(6, 9, 9);
    CHECK(settled(12));
    CHECK(next(pipeline) == 6);
}

TEST_CASE("one thread needs no worker and makes each batch on request") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    const std::thread::id reader = std::this_thread::get_id();
    std::size_t made = 0;
    Pipeline pipeline(
        [&](std::uint64_t number) {
            CHECK(std::this_thread::get_id() == reader);
            ++made;
            return numbered(pool, number);
        },
        1, 8);
    pipeline.start(0, 5, 10);
    for (std::int64_t number = 0; number < 5; ++number) {
        CHECK(next(pipeline) == number);
        CHECK(made == static_cast<std::size_t>(number) + 1);
    }
    CHECK_FALSE(next(pipeline));
    CHECK(made == 5);
}

TEST_CASE("the reader runs a job rather than wait for one") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    const std::thread::id reader = std::this_thread::get_id();
    std::atomic<bool> go{false};
    std::atomic<bool> helped{false};
    Pipeline pipeline(
        [&](std::uint64_t number) {
            if (std::this_thread::get_id() == reader) {
                helped = true;
                go = true;
                go.notify_all();
            } else {
                go.wait(false);
            }
            return numbered(pool, number);
        },
        2, 4);
    pipeline.start(0, 2, 2);
    CHECK(next(pipeline) == 0);
    CHECK(next(pipeline) == 1);
    CHECK(helped);
}

TEST_CASE("no more than the window is made ahead") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<std::size_t> made{0};
    Pipeline pipeline(
        [&](std::uint64_t number) {
            ++made;
            return numbered(pool, number);
        },
        4, 3);
    pipeline.start(0, 100, 100);
    std::this_thread::sleep_for(20ms);
    CHECK(made == 3);
    CHECK(next(pipeline) == 0);
    std::this_thread::sleep_for(20ms);
    CHECK(made == 4);
}

TEST_CASE("next returns after its timeout") {
    std::atomic<bool> go{false};
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<bool> begun{false};
    Pipeline pipeline(
        [&](std::uint64_t number) {
            begun = true;
            begun.notify_all();
            go.wait(false);
            return numbered(pool, number);
        },
        2, 1);
    pipeline.start(0, 1, 1);
    begun.wait(false);
    CHECK_FALSE(pipeline.next(1ms));
    go = true;
    go.notify_all();
    CHECK(next(pipeline) == 0);
}

TEST_CASE("an error is thrown in place of its batch, until the next start") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<bool> fixed{false};
    Pipeline pipeline(
        [&](std::uint64_t number) {
            if (number == 4 && !fixed) {
                throw std::runtime_error("batch " + std::to_string(number));
            }
            return numbered(pool, number);
        },
        3, 8);
    pipeline.start(0, 10, 10);
    for (std::int64_t number = 0; number < 4; ++number) {
        CHECK(next(pipeline) == number);
    }
    CHECK_THROWS_WITH(next(pipeline), "batch 4");
    CHECK_THROWS_WITH(next(pipeline), "batch 4");
    pipeline.start(5, 10, 10);
    CHECK(next(pipeline) == 5);
    fixed = true;
    pipeline.start(4, 10, 10);
    CHECK(next(pipeline) == 4);
}

TEST_CASE("close wakes a waiting reader, and start throws after it") {
    const auto pool = std::make_shared<BatchPool>(1, 4);
    std::atomic<bool> go{false};
    Pipeline pipeline(
        [&](std::uint64_t number) {
            go.wait(false);
            return numbered(pool, number);
        },
        2, 1);
    pipeline.start(0, 1, 1);
    std::thread closing([&] {
        std::this_thread::sleep_for(5ms);
        go = true;
        go.notify_all();
        pipeline.close();
    });
    try {
        next(pipeline);  // 0 if it runs before close
    } catch (const std::runtime_error& error) {
        CHECK(std::string(error.what()) == "the loader is closed");
    }
    closing.join();
    CHECK_THROWS_AS(next(pipeline), std::runtime_error);
    CHECK_THROWS_AS(pipeline.start(0, 0, 0), std::runtime_error);
    pipeline.close();
}

TEST_CASE("threads and window have bounds") {
    CHECK_THROWS_AS(Pipeline({}, 0, 1), std::invalid_argument);
    CHECK_THROWS_AS(Pipeline({}, 1, 0), std::invalid_argument);
    CHECK_THROWS_WITH(Pipeline({}, 100'000, 1), "expected `threads` in 1..1024, got 100000");
    CHECK_THROWS_WITH(Pipeline({}, 1, 100'000), "expected `prefetch` in 1..65536, got 100000");
}

TEST_CASE("memory of batches is aligned, reused, and outlives the owner of its pool") {
    auto pool = std::make_shared<BatchPool>(3, 1);
    auto batch = std::make_shared<Batch>(pool, 2);
    const float* address = batch->pair().data();
    CHECK(reinterpret_cast<std::uintptr_t>(address) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(batch->target().data()) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(batch->digits().data()) % 64 == 0);
    CHECK(batch->digits().size() == 4);
    batch.reset();
    batch = std::make_shared<Batch>(pool, 3);
    CHECK(batch->pair().data() == address);
    const auto other = std::make_shared<Batch>(pool, 1);
    CHECK(other->pair().data() != address);
    CHECK_THROWS_AS(std::make_shared<Batch>(pool, 4), std::invalid_argument);
    pool->retire();
    pool.reset();
    batch->pair()[3 * 392 - 1] = 1;
}
