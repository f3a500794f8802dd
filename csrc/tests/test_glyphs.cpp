#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "glyphs.h"

using namespace pairnet;

TEST_CASE("a glyph depends only on seed and index") {
    std::vector<std::int64_t> indices(60);
    std::iota(indices.begin(), indices.end(), 100);
    std::vector<std::uint8_t> images(60 * 784);
    std::vector<std::uint8_t> labels(60);
    glyphs(indices, 4, images, labels, 1);
    for (const std::size_t threads : {2U, 7U}) {
        std::vector<std::uint8_t> again(images.size());
        glyphs(indices, 4, again, labels, threads);
        CHECK(again == images);
    }
    std::vector<std::uint8_t> one(784);
    std::array<std::uint8_t, 1> label{};
    glyphs(std::array<std::int64_t, 1>{117}, 4, one, label, 1);
    CHECK(std::equal(one.begin(), one.end(), images.begin() + 17 * 784));
    CHECK(label[0] == labels[17]);
    CHECK(label[0] == glyph_label(4, 117));
    glyphs(std::array<std::int64_t, 1>{117}, 5, one, label, 1);
    CHECK_FALSE(std::equal(one.begin(), one.end(), images.begin() + 17 * 784));
}

TEST_CASE("glyphs have strokes in the middle and none at the edge") {
    std::vector<std::int64_t> indices(500);
    std::iota(indices.begin(), indices.end(), 0);
    std::vector<std::uint8_t> images(500 * 784);
    std::vector<std::uint8_t> labels(500);
    glyphs(indices, 0, images, labels, 2);
    for (std::size_t k = 0; k < indices.size(); ++k) {
        const auto image = std::span(images).subspan(k * 784, 784);
        CHECK(std::ranges::count_if(image, [](std::uint8_t grey) { return grey > 128; }) > 15);
        for (std::size_t edge = 0; edge < 28; ++edge) {
            CHECK(image[edge] < 32);
            CHECK(image[27 * 28 + edge] < 32);
        }
    }
}

TEST_CASE("glyphs are those that records name") {
    // Runs on glyphs are identified by the bytes of these images, so that another picture is another data set.
    std::vector<std::int64_t> indices(500);
    std::iota(indices.begin(), indices.end(), 0);
    std::vector<std::uint8_t> images(500 * 784);
    std::vector<std::uint8_t> labels(500);
    glyphs(indices, 0, images, labels, 2);
    std::uint64_t digest = 0xcbf29ce484222325;  // FNV-1a
    for (const auto* bytes : {&images, &labels}) {
        for (const std::uint8_t byte : *bytes) {
            digest = (digest ^ byte) * 0x100000001b3;
        }
    }
    CHECK(digest == 6'707'136'075'777'253'874U);
}

TEST_CASE("labels are uniform over ten digits") {
    std::array<int, 10> seen{};
    for (std::uint64_t index = 0; index < 20'000; ++index) {
        ++seen.at(glyph_label(8, index));
    }
    CHECK(*std::ranges::min_element(seen) > 1'800);
    CHECK(*std::ranges::max_element(seen) < 2'200);
}

TEST_CASE("glyphs reject negative indices and sizes that do not match") {
    std::vector<std::uint8_t> image(784);
    std::array<std::uint8_t, 1> label{};
    CHECK_THROWS_AS(glyphs(std::array<std::int64_t, 1>{-1}, 0, image, label, 1), std::invalid_argument);
    CHECK_THROWS_AS(glyphs(std::array<std::int64_t, 2>{0, 1}, 0, image, label, 1), std::invalid_argument);
}
