#include "loader.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

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
        throw std::invalid_argument(std::to_string(digits) + " digits need 196 pixels each, not " +
                                    std::to_string(pixels) + " in all");
    }
    if (options.batch == 0) {
        throw std::invalid_argument("batch must be at least 1, not 0");
    }
    if (options.warp) {
        check(*options.warp);
    }
    return options;
}

}  // namespace

Loader::Loader(std::span<const std::uint16_t> pixels, std::span<const std::uint8_t> digits,
               const LoaderOptions& options)
    : options_(checked(options, pixels.size(), digits.size())),
      normaliser_(normaliser(options.moments)),
      kernels_(kernels(options.simd)),
      pixels_(pixels.begin(), pixels.end()),
      digits_(digits.begin(), digits.end()),
      pool_(std::make_shared<BatchPool>(std::min(options.batch, pairs_in(digits)),
                                        options.prefetch + options.threads + 2)),
      pipeline_(options.threads, options.prefetch) {}

Loader::~Loader() {
    close();
}

std::size_t Loader::batches() const {
    const std::size_t full = pairs_in(digits_) / options_.batch;
    return full + (options_.drop_last || pairs_in(digits_) % options_.batch == 0 ? 0 : 1);
}

void Loader::start(std::uint64_t epoch, std::uint64_t first) {
    const std::uint32_t number = checked_epoch(epoch);
    if (first > batches()) {
        throw std::invalid_argument("first_batch must be at most " + std::to_string(batches()) + ", not " +
                                    std::to_string(first));
    }
    std::vector<std::uint32_t> order;
    if (options_.shuffle) {
        order = shuffled(pairs_in(digits_), options_.seed, number);
    } else {
        order.resize(pairs_in(digits_));
        std::iota(order.begin(), order.end(), 0U);
    }
    pipeline_.start(
        [this, number, order = std::move(order)](std::size_t batch) {
            const std::size_t begin = batch * options_.batch;
            const std::size_t size = std::min(options_.batch, order.size() - begin);
            return make(std::span(order).subspan(begin, size), number);
        },
        static_cast<std::size_t>(first), batches());
}

void Loader::close() {
    pipeline_.close();
    pool_->retire();
}

std::shared_ptr<Batch> Loader::make(std::span<const std::uint32_t> rows, std::uint32_t epoch) const {
    auto batch = std::make_shared<Batch>(pool_, rows.size());
    float* out = batch->pair().data();
    const std::span<float> target = batch->target();
    const std::span<std::int64_t> digits = batch->digits();
    for (std::size_t k = 0; k < rows.size(); ++k, out += pair_size) {
        const std::size_t row = rows[k];
        const std::uint16_t* pixels = &pixels_[row * pair_size];
        if (options_.warp) {
            for (const std::size_t side : {0U, 1U}) {
                const Affine from = source_of(random_warp(*options_.warp, options_.seed, epoch, row, side));
                kernels_.warp(pixels + side * pooled_size, out + side * pooled_size, from, normaliser_);
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
    return batch;
}

}  // namespace pairnet
