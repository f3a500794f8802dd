#include "loader.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "checks.h"
#include "images.h"
#include "pairs.h"
#include "philox.h"

namespace pairnet {
namespace {

std::size_t pairs_in(std::span<const std::uint8_t> digits) {
    return digits.size() / 2;
}

LoaderOptions checked(const LoaderOptions& options, std::size_t pixels, std::size_t digits) {
    if (digits % 2 != 0 || pixels != digits / 2 * pair_size) {
        throw std::invalid_argument("expected 196 pixels for each of " + std::to_string(digits) + " digits, got " +
                                    std::to_string(pixels) + " in total");
    }
    if (options.batch == 0) {
        throw std::invalid_argument("expected `batch` of at least 1, got 0");
    }
    in_range<std::size_t>("threads", options.threads, 1, max_threads);  // before memory is reserved for them
    in_range<std::size_t>("prefetch", options.prefetch, 1, max_prefetch);
    if (options.warp) {
        check(*options.warp);
    }
    return options;
}

/// Prefetches the pixels of a pair while another is processed: hardware cannot predict a random order.
void prefetch(const std::uint16_t* pixels) {
    constexpr std::size_t line = sizeof(Line) / sizeof(*pixels);
    for (std::size_t k = 0; k < pair_size; k += line) {
        __builtin_prefetch(pixels + k);
    }
}

}  // namespace

Loader::Loader(std::span<const std::uint16_t> pixels, std::span<const std::uint8_t> digits,
               const LoaderOptions& options)
    : options_(checked(options, pixels.size(), digits.size())),
      normaliser_(normaliser(options.moments)),
      kernels_(kernels(options.simd)),
      pixels_(pixels),
      digits_(digits),
      pool_(std::make_shared<BatchPool>(std::min(options.batch, pairs_in(digits)),
                                        options.prefetch + options.threads + 2)),
      pipeline_([this](std::uint64_t number) { return make(number); }, options.threads, options.prefetch) {}

Loader::~Loader() {
    close();
}

std::size_t Loader::batches() const {
    const std::size_t full = pairs_in(digits_) / options_.batch;
    return full + (options_.drop_last || pairs_in(digits_) % options_.batch == 0 ? 0 : 1);
}

void Loader::start(std::uint64_t epoch, std::uint64_t first) {
    in_range<std::uint64_t>("first_batch", first, 0, batches());
    const std::uint64_t begin = checked_epoch(epoch) * std::uint64_t{batches()};
    const std::uint64_t end = begin + batches();
    pipeline_.start(begin + first, end, end + batches());
}

void Loader::close() {
    if (is_forked()) {
        return;
    }
    pipeline_.close();
    pool_->retire();
}

std::shared_ptr<const Loader::Order> Loader::order(std::uint32_t epoch) {
    KeptOrder& kept = orders_[epoch % orders_.size()];
    const std::lock_guard lock(kept.mutex);
    if (kept.order == nullptr || kept.epoch != epoch) {
        Order order;
        if (options_.shuffle) {
            order = shuffled(pairs_in(digits_), options_.seed, epoch);
        } else {
            order.resize(pairs_in(digits_));
            std::iota(order.begin(), order.end(), 0U);
        }
        kept.order = std::make_shared<const Order>(std::move(order));
        kept.epoch = epoch;
    }
    return kept.order;
}

std::shared_ptr<Batch> Loader::make(std::uint64_t number) {
    const auto epoch = static_cast<std::uint32_t>(number / batches());
    const std::size_t begin = number % batches() * options_.batch;
    const auto order = this->order(epoch);
    const auto rows = std::span(*order).subspan(begin, std::min(options_.batch, order->size() - begin));

    auto batch = std::make_shared<Batch>(pool_, rows.size());
    float* out = batch->pair().data();
    const std::span<float> target = batch->target();
    const std::span<std::int64_t> digits = batch->digits();
    for (std::size_t k = 0; k < rows.size(); ++k, out += pair_size) {
        const std::size_t row = rows[k];
        const std::uint16_t* pixels = &pixels_[row * pair_size];
        prefetch(&pixels_[rows[std::min(k + 1, rows.size() - 1)] * pair_size]);
        if (options_.warp) {
            for (const std::size_t side : {0U, 1U}) {
                const Warp warp = random_warp(*options_.warp, options_.seed, epoch, row, side);
                kernels_.warp(pixels + side * pooled_size, out + side * pooled_size, source_of(warp),
                              options_.warp->elastic > 0 ? &warp.knots : nullptr, normaliser_);
            }
        } else {
            kernels_.normalise(pixels, out, pair_size, normaliser_);
        }
        const std::uint8_t first = digits_[2 * row];
        const std::uint8_t second = digits_[2 * row + 1];
        target[k] = pairnet::target(first, second);
        digits[2 * k] = first;
        digits[2 * k + 1] = second;
    }
    if (begin == 0 && epoch + 1 < epoch_limit) {
        this->order(epoch + 1);  // before it is needed: the threads that need it would wait for it
    }
    return batch;
}

void LoaderDeleter::operator()(const Loader* loader) const {
    if (loader != nullptr && !loader->is_forked()) {
        delete loader;  // NOLINT(cppcoreguidelines-owning-memory): this is the owner's deleter
    }
}

}  // namespace pairnet
