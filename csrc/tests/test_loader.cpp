#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "images.h"
#include "loader.h"
#include "philox.h"

using namespace pairnet;
using namespace std::chrono_literals;

namespace {

/// Distinguishable pairs: all pixels of pair k are k, its digits k%10 and k/10%10.
struct Pool {
    std::vector<std::uint16_t> pixels;
    std::vector<std::uint8_t> digits;

    explicit Pool(std::size_t count) {
        for (std::size_t k = 0; k < count; ++k) {
            pixels.insert(pixels.end(), pair_size, static_cast<std::uint16_t>(k));
            digits.push_back(static_cast<std::uint8_t>(k % 10));
            digits.push_back(static_cast<std::uint8_t>(k / 10 % 10));
        }
    }
};

LoaderOptions options(std::size_t batch, std::size_t threads) {
    LoaderOptions result;
    result.moments = {.mean = 0, .std = 0.25};  // a normalised pixel is the number of its pair
    result.batch = batch;
    result.seed = 3;
    result.threads = threads;
    return result;
}

/// The next batch; a null pointer at the end.
std::shared_ptr<Batch> next(Loader& loader) {
    for (;;) {
        if (auto batch = loader.next(10ms)) {
            return *batch;
        }
    }
}

/// The values of an epoch, starting at batch `first`.
std::vector<float> epoch_of(Loader& loader, std::uint64_t epoch, std::uint64_t first = 0) {
    std::vector<float> all;
    loader.start(epoch, first);
    while (const auto batch = next(loader)) {
        all.insert(all.end(), batch->pair().begin(), batch->pair().end());
        all.insert(all.end(), batch->target().begin(), batch->target().end());
        for (const std::int64_t digit : batch->digits()) {
            all.push_back(static_cast<float>(digit));
        }
    }
    return all;
}

}  // namespace

TEST_CASE("an epoch delivers each pair once with its own target and digits") {
    const Pool pool(103);
    Loader loader(pool.pixels, pool.digits, options(10, 2));
    CHECK(loader.batches() == 11);
    std::vector<int> seen(103);
    loader.start(4, 0);
    while (const auto batch = next(loader)) {
        for (std::size_t k = 0; k < batch->size(); ++k) {
            const auto number = static_cast<std::size_t>(batch->pair()[k * pair_size]);
            ++seen.at(number);
            CHECK(std::ranges::count(batch->pair().subspan(k * pair_size, pair_size), static_cast<float>(number)) ==
                  static_cast<std::ptrdiff_t>(pair_size));
            CHECK(batch->digits()[2 * k] == pool.digits[2 * number]);
            CHECK(batch->digits()[2 * k + 1] == pool.digits[2 * number + 1]);
            CHECK(batch->target()[k] == (pool.digits[2 * number] <= pool.digits[2 * number + 1] ? 1.0F : 0.0F));
        }
    }
    CHECK(seen == std::vector<int>(103, 1));
}

TEST_CASE("threads, prefetch and instruction set change no bit") {
    const Pool pool(57);
    for (const bool warped : {false, true}) {
        LoaderOptions plain = options(8, 1);
        if (warped) {
            plain.warp = WarpRange{.rotation = 12, .scale = 0.12F, .shear = 0.1F, .shift = 1, .elastic = 1};
        }
        Loader reference(pool.pixels, pool.digits, plain);
        const auto expected = epoch_of(reference, 2);
        CHECK(expected != epoch_of(reference, 3));
        for (const std::size_t threads : {2U, 7U}) {
            for (const std::size_t prefetch : {1U, 9U}) {
                for (const Kernels* level : simd_levels()) {
                    LoaderOptions other = plain;
                    other.threads = threads;
                    other.prefetch = prefetch;
                    other.simd = level->name;
                    Loader loader(pool.pixels, pool.digits, other);
                    CHECK(epoch_of(loader, 2) == expected);
                }
            }
        }
    }
}

TEST_CASE("an epoch resumes at any batch") {
    const Pool pool(50);
    Loader loader(pool.pixels, pool.digits, options(7, 2));
    const auto whole = epoch_of(loader, 1);
    const std::size_t batch_values = 7 * (pair_size + 3);
    for (std::size_t first = 0; first <= loader.batches(); ++first) {
        const auto rest = epoch_of(loader, 1, first);
        const std::size_t skipped = std::min(first * batch_values, whole.size());
        CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + static_cast<std::ptrdiff_t>(skipped), whole.end()));
    }
}

TEST_CASE("drop_last omits a batch that is not full; without shuffle the order is kept") {
    const Pool pool(23);
    LoaderOptions plain = options(10, 1);
    plain.drop_last = true;
    plain.shuffle = false;
    Loader loader(pool.pixels, pool.digits, plain);
    CHECK(loader.batches() == 2);
    loader.start(0, 0);
    for (const float first : {0.0F, 10.0F}) {
        const auto batch = next(loader);
        REQUIRE(batch->size() == 10);
        CHECK(batch->pair()[0] == first);
        CHECK(batch->pair()[9 * pair_size] == first + 9);
    }
    CHECK(next(loader) == nullptr);
}

TEST_CASE("batches outlive their loader") {
    const Pool pool(20);
    std::vector<std::shared_ptr<Batch>> kept;
    {
        Loader loader(pool.pixels, pool.digits, options(5, 2));
        loader.start(0, 0);
        kept = {next(loader), next(loader)};
    }
    float sum = 0;
    for (const auto& batch : kept) {
        sum = std::accumulate(batch->pair().begin(), batch->pair().end(), sum);
    }
    CHECK(sum > 0);
}

TEST_CASE("a loader rejects options out of bounds") {
    const Pool pool(4);
    const auto make = [&](const LoaderOptions& with) { Loader(pool.pixels, pool.digits, with); };
    CHECK_THROWS_AS(make(options(0, 1)), std::invalid_argument);
    CHECK_THROWS_AS(make(options(1, 0)), std::invalid_argument);
    CHECK_THROWS_WITH(make(options(1, 1'000'000)), "expected `threads` in 1..1024, got 1000000");
    LoaderOptions bad = options(1, 1);
    bad.prefetch = std::size_t{1} << 62U;
    CHECK_THROWS_WITH(make(bad), "expected `prefetch` in 1..65536, got 4611686018427387904");
    bad = options(1, 1);
    bad.moments.std = 0;
    CHECK_THROWS_AS(make(bad), std::invalid_argument);
    bad = options(1, 1);
    bad.warp = WarpRange{.rotation = 0, .scale = 2, .shear = 0, .shift = 0, .elastic = 0};
    CHECK_THROWS_AS(make(bad), std::invalid_argument);
    CHECK_THROWS_AS(Loader(pool.pixels, std::span(pool.digits).first(6), options(1, 1)), std::invalid_argument);
    Loader loader(pool.pixels, pool.digits, options(2, 1));
    CHECK_THROWS_AS(loader.start(0, 3), std::invalid_argument);
    CHECK_THROWS_AS(loader.start(epoch_limit, 0), std::invalid_argument);
    Loader empty({}, {}, options(2, 1));
    CHECK(empty.batches() == 0);
    CHECK(epoch_of(empty, 0).empty());
}

TEST_CASE("batches in progress at a restart are never delivered") {
    const Pool pool(2000);
    LoaderOptions with = options(100, 4);
    Loader reference(pool.pixels, pool.digits, with);
    with.warp = WarpRange{.rotation = 12, .scale = 0.12F, .shear = 0.1F, .shift = 1, .elastic = 1};  // slow jobs
    Loader loader(pool.pixels, pool.digits, with);
    Random random(7, Purpose::draw, 0, 0);
    for (int restart = 0; restart < 200; ++restart) {
        const std::uint64_t epoch = random.below(50);
        const std::uint64_t first = random.below(20);
        reference.start(epoch, first);
        loader.start(epoch, first);
        for (std::uint32_t taken = random.below(4); taken > 0; --taken) {
            const auto expected = next(reference);
            const auto batch = next(loader);
            REQUIRE((expected == nullptr) == (batch == nullptr));
            if (batch == nullptr) {
                break;
            }
            CHECK(std::ranges::equal(batch->digits(), expected->digits()));
        }
    }
}

TEST_CASE("soak: random sizes, early drops, restarts, readers on other threads") {
    const Pool pool(211);
    Random random(99, Purpose::draw, 0, 0);
    for (int round = 0; round < 400; ++round) {
        LoaderOptions with = options(1 + random.below(230), 1 + random.below(8));
        with.prefetch = 1 + random.below(9);
        with.shuffle = random.below(2) == 0;
        with.drop_last = random.below(2) == 0;
        if (random.below(3) == 0) {
            with.warp = WarpRange{.rotation = 12, .scale = 0.12F, .shear = 0.1F, .shift = 1, .elastic = 1};
        }
        std::vector<std::shared_ptr<Batch>> kept;
        Loader loader(pool.pixels, pool.digits, with);
        for (std::uint32_t restart = random.below(4); restart > 0; --restart) {
            loader.start(random.below(100),
                         loader.batches() == 0 ? 0 : random.below(static_cast<std::uint32_t>(loader.batches())));
            for (std::uint32_t taken = random.below(12); taken > 0; --taken) {
                const auto batch = next(loader);
                if (batch == nullptr) {
                    break;
                }
                if (random.below(4) == 0) {
                    kept.push_back(batch);
                }
            }
        }
        if (random.below(2) == 0) {  // two readers share an epoch
            loader.start(0, 0);
            std::atomic<std::size_t> taken{0};
            const auto read = [&] {
                while (next(loader) != nullptr) {
                    ++taken;
                }
            };
            std::thread other(read);
            read();
            other.join();
            CHECK(taken == loader.batches());
        }
        if (random.below(2) == 0) {
            loader.close();
        }
    }
}

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_THREAD__)  // tsan cannot fork with threads
TEST_CASE("a forked process can neither use, close nor delete a loader of its parent, and exits") {
    const Pool pool(400);
    LoaderOptions with = options(5, 4);
    with.warp = WarpRange{.rotation = 12, .scale = 0.12F, .shear = 0.1F, .shift = 1, .elastic = 1};
    std::unique_ptr<Loader, LoaderDeleter> loader(new Loader(pool.pixels, pool.digits, with));
    CHECK_FALSE(loader->is_forked());
    loader->start(0, 0);
    auto batch = next(*loader);  // the workers are busy with others
    const pid_t child = fork();
    if (child == 0) {
        int refused = loader->is_forked() ? 1 : 0;
        try {
            loader->start(0, 0);
        } catch (const std::runtime_error&) {
            ++refused;
        }
        try {
            loader->next(1ms);
        } catch (const std::runtime_error&) {
            ++refused;
        }
        loader->close();
        batch.reset();
        loader.reset();
        _exit(refused);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE_UNARY(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 3);
    CHECK(next(*loader) != nullptr);
}
#endif
