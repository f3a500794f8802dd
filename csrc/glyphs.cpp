#include "glyphs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "images.h"
#include "parallel.h"
#include "philox.h"

namespace pairnet {
namespace {

struct Point {
    float x, y;
};

/// A smooth line through points of the unit square, y down.
using Stroke = std::vector<Point>;
/// The strokes of a digit, written in one way.
using Form = std::vector<Stroke>;

/// The forms of each digit; those of one digit are equally likely.
const std::array<std::vector<Form>, 10>& alphabet() {
    static const std::array<std::vector<Form>, 10> forms{{
        // 0
        {{{{.50F, .00F},
           {.20F, .13F},
           {.07F, .50F},
           {.20F, .87F},
           {.50F, 1.0F},
           {.80F, .87F},
           {.93F, .50F},
           {.80F, .13F},
           {.50F, .00F}}}},
        // 1: a bar; with a flag; with flag and foot
        {{{{.50F, .00F}, {.50F, .50F}, {.50F, 1.0F}}},
         {{{.26F, .22F}, {.54F, .00F}}, {{.54F, .00F}, {.52F, .50F}, {.52F, 1.0F}}},
         {{{.26F, .22F}, {.52F, .00F}}, {{.52F, .00F}, {.52F, 1.0F}}, {{.22F, 1.0F}, {.82F, 1.0F}}}},
        // 2: with a corner; with a loop
        {{{{.12F, .24F},
           {.25F, .05F},
           {.52F, .00F},
           {.80F, .09F},
           {.85F, .30F},
           {.70F, .54F},
           {.40F, .78F},
           {.10F, 1.0F}},
          {{.10F, 1.0F}, {.50F, .99F}, {.92F, 1.0F}}},
         {{{.15F, .20F},
           {.32F, .03F},
           {.60F, .00F},
           {.82F, .14F},
           {.78F, .40F},
           {.55F, .70F},
           {.25F, .97F},
           {.08F, .93F},
           {.13F, .78F},
           {.32F, .80F},
           {.62F, .98F},
           {.92F, .95F}}}},
        // 3
        {{{{.12F, .14F}, {.30F, .01F}, {.56F, .00F}, {.80F, .11F}, {.80F, .31F}, {.64F, .44F}, {.40F, .48F}},
          {{.40F, .48F}, {.68F, .51F}, {.88F, .68F}, {.84F, .88F}, {.58F, 1.0F}, {.28F, .99F}, {.08F, .85F}}}},
        // 4: closed; open
        {{{{.70F, .00F}, {.40F, .33F}, {.06F, .68F}},
          {{.06F, .68F}, {.50F, .67F}, {.96F, .67F}},
          {{.70F, .00F}, {.69F, .50F}, {.68F, 1.0F}}},
         {{{.22F, .00F}, {.15F, .28F}, {.10F, .54F}},
          {{.10F, .54F}, {.45F, .56F}, {.92F, .52F}},
          {{.80F, .00F}, {.76F, .50F}, {.72F, 1.0F}}}},
        // 5
        {{{{.86F, .00F}, {.55F, .01F}, {.24F, .01F}},
          {{.24F, .01F}, {.20F, .22F}, {.16F, .45F}},
          {{.16F, .45F}, {.44F, .36F}, {.74F, .43F}, {.89F, .66F}, {.78F, .90F}, {.47F, 1.0F}, {.10F, .90F}}}},
        // 6
        {{{{.74F, .01F},
           {.44F, .15F},
           {.20F, .44F},
           {.11F, .72F},
           {.24F, .94F},
           {.52F, 1.0F},
           {.80F, .90F},
           {.86F, .70F},
           {.70F, .52F},
           {.42F, .52F},
           {.15F, .70F}}}},
        // 7: plain; with a bar
        {{{{.08F, .02F}, {.50F, .01F}, {.92F, .00F}}, {{.92F, .00F}, {.62F, .46F}, {.40F, 1.0F}}},
         {{{.08F, .02F}, {.50F, .01F}, {.92F, .00F}},
          {{.92F, .00F}, {.64F, .46F}, {.44F, 1.0F}},
          {{.32F, .50F}, {.88F, .48F}}}},
        // 8
        {{{{.50F, .47F},
           {.23F, .34F},
           {.20F, .13F},
           {.50F, .00F},
           {.80F, .13F},
           {.77F, .34F},
           {.50F, .47F},
           {.18F, .64F},
           {.14F, .87F},
           {.50F, 1.0F},
           {.86F, .87F},
           {.82F, .64F},
           {.50F, .47F}}}},
        // 9: with a straight stem; with a bent one
        {{{{.84F, .28F},
           {.68F, .49F},
           {.38F, .52F},
           {.15F, .38F},
           {.17F, .13F},
           {.48F, .00F},
           {.78F, .08F},
           {.84F, .28F}},
          {{.84F, .14F}, {.80F, .60F}, {.72F, 1.0F}}},
         {{{.84F, .28F},
           {.68F, .49F},
           {.38F, .52F},
           {.15F, .38F},
           {.17F, .13F},
           {.48F, .00F},
           {.78F, .08F},
           {.85F, .30F},
           {.82F, .64F},
           {.62F, .94F},
           {.26F, .98F}}}},
    }};
    return forms;
}

/// Random properties of one glyph.
struct Hand {
    float xx, xy, x0, yx, yy, y0;  // from the unit square to pixels
    float pen;                     // half the width of the line, in pixels
    float ink;                     // grey level of the line
    float noise;                   // largest change of a pixel, in grey levels
    float tremor;                  // largest displacement of a point, in units of the square
};

Hand random_hand(Random& random) {
    const float angle = random.uniform(-10, 10) * std::numbers::pi_v<float> / 180;
    const float slant = random.uniform(-0.10F, 0.35F);
    const float height = random.uniform(15, 18.5F);
    const float width = height * random.uniform(0.55F, 0.95F);
    const float cos = std::cos(angle);
    const float sin = std::sin(angle);
    const float centre = (image_side - 1) / 2.0F;
    Hand hand{};
    hand.xx = cos * width;
    hand.xy = (-sin - slant * cos) * height;
    hand.yx = sin * width;
    hand.yy = (cos - slant * sin) * height;
    hand.x0 = centre + random.uniform(-1, 1) - (hand.xx + hand.xy) / 2;
    hand.y0 = centre + random.uniform(-1, 1) - (hand.yx + hand.yy) / 2;
    hand.pen = random.uniform(0.8F, 1.8F);
    hand.ink = random.uniform(200, 255);
    hand.noise = random.uniform(0, 16);
    hand.tremor = 0.035F;
    return hand;
}

/// Squared distance of each pixel to the nearest line, up to the reach of the pen.
class Canvas {
  public:
    explicit Canvas(float pen) : reach_(pen + 1) { distance_.fill(reach_ * reach_); }

    /// Draws a straight line.
    void line(Point a, Point b) {
        const auto first = [&](float low) { return std::max(0, static_cast<int>(std::floor(low - reach_))); };
        const auto last = [&](float high) {
            return std::min(static_cast<int>(image_side) - 1, static_cast<int>(std::ceil(high + reach_)));
        };
        const Point along{b.x - a.x, b.y - a.y};
        const float length = std::max(along.x * along.x + along.y * along.y, 1e-6F);
        for (int y = first(std::min(a.y, b.y)); y <= last(std::max(a.y, b.y)); ++y) {
            for (int x = first(std::min(a.x, b.x)); x <= last(std::max(a.x, b.x)); ++x) {
                const Point from{static_cast<float>(x) - a.x, static_cast<float>(y) - a.y};
                const float fraction = std::clamp((from.x * along.x + from.y * along.y) / length, 0.0F, 1.0F);
                const float dx = from.x - fraction * along.x;
                const float dy = from.y - fraction * along.y;
                float& nearest = distance_[static_cast<std::size_t>(y) * image_side + static_cast<std::size_t>(x)];
                nearest = std::min(nearest, dx * dx + dy * dy);
            }
        }
    }

    /// Draws a smooth line through points (Catmull-Rom).
    void curve(const Stroke& points) {
        constexpr int pieces = 5;
        const std::size_t last = points.size() - 1;
        for (std::size_t k = 0; k < last; ++k) {
            const Point a = points[k == 0 ? 0 : k - 1];
            const Point b = points[k];
            const Point c = points[k + 1];
            const Point d = points[std::min(k + 2, last)];
            Point from = b;
            for (int piece = 1; piece <= pieces; ++piece) {
                const float t = static_cast<float>(piece) / pieces;
                const auto between = [t](float p, float q, float r, float s) {
                    return q + t / 2 * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)));
                };
                const Point to{between(a.x, b.x, c.x, d.x), between(a.y, b.y, c.y, d.y)};
                line(from, to);
                from = to;
            }
        }
    }

    /// Fraction of a pixel that the line covers, 0..1.
    float cover(std::size_t pixel) const { return std::clamp(reach_ - 0.5F - std::sqrt(distance_[pixel]), 0.0F, 1.0F); }

  private:
    float reach_;
    std::array<float, image_size> distance_{};
};

void draw_glyph(std::uint64_t seed, std::uint64_t index, std::uint8_t* image) {
    Random random(seed, Purpose::glyph, 1, index);
    const std::vector<Form>& forms = alphabet()[glyph_label(seed, index)];
    const Form& form = forms[random.below(static_cast<std::uint32_t>(forms.size()))];
    const Hand hand = random_hand(random);
    Canvas canvas(hand.pen);
    for (Stroke stroke : form) {
        for (Point& point : stroke) {
            const float x = point.x + random.uniform(-hand.tremor, hand.tremor);
            const float y = point.y + random.uniform(-hand.tremor, hand.tremor);
            point = {hand.xx * x + hand.xy * y + hand.x0, hand.yx * x + hand.yy * y + hand.y0};
        }
        canvas.curve(stroke);
    }
    for (std::size_t pixel = 0; pixel < image_size; pixel += 4) {
        const std::uint32_t bits = random.bits();  // a byte of noise for each of four pixels
        for (std::size_t k = 0; k < 4; ++k) {
            const float noise = (static_cast<float>((bits >> (8 * k)) & 255U) / 127.5F - 1.0F) * hand.noise;
            const float grey = hand.ink * canvas.cover(pixel + k) + noise;
            image[pixel + k] = static_cast<std::uint8_t>(std::clamp(grey, 0.0F, 255.0F));
        }
    }
}

}  // namespace

std::uint8_t glyph_label(std::uint64_t seed, std::uint64_t index) {
    return static_cast<std::uint8_t>(Random(seed, Purpose::glyph, 0, index).below(10));
}

void glyphs(std::span<const std::int64_t> indices, std::uint64_t seed, std::span<std::uint8_t> images,
            std::span<std::uint8_t> labels, std::size_t threads) {
    if (images.size() != indices.size() * image_size || labels.size() != indices.size()) {
        throw std::invalid_argument("expected images and labels for " + std::to_string(indices.size()) +
                                    " glyphs, got " + std::to_string(images.size()) + " pixels and " +
                                    std::to_string(labels.size()) + " labels");
    }
    for (const std::int64_t index : indices) {
        if (index < 0) {
            throw std::invalid_argument("expected `indices` of at least 0, got " + std::to_string(index));
        }
    }
    parallel(indices.size(), threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) {
            const auto index = static_cast<std::uint64_t>(indices[k]);
            labels[k] = glyph_label(seed, index);
            draw_glyph(seed, index, &images[k * image_size]);
        }
    });
}

}  // namespace pairnet
