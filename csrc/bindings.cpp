/// The Python module pairnet._core: a table of contents. What stands here checks arrays and wraps them; the rest is in
/// the core. Its types and manual are pairnet/_core.pyi.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "batch.h"
#include "glyphs.h"
#include "images.h"
#include "kernels.h"
#include "loader.h"
#include "moments.h"
#include "pairs.h"
#include "warp.h"

namespace py = pybind11;
using namespace py::literals;

namespace {

using pairnet::image_side;
using pairnet::pair_size;
using pairnet::pooled_side;
using pairnet::pooled_size;

/// An expected shape; any length where it says -1.
using Shape = std::vector<py::ssize_t>;

std::string text(const Shape& shape) {
    std::string result = "[";
    for (const py::ssize_t length : shape) {
        result += result.size() > 1 ? "," : "";
        result += length < 0 ? "n" : std::to_string(length);
    }
    return result + "]";
}

Shape shape_of(const py::array& array) {
    return {array.shape(), array.shape() + array.ndim()};
}

bool fits(const Shape& given, const Shape& expected) {
    return std::equal(given.begin(), given.end(), expected.begin(), expected.end(),
                      [](py::ssize_t have, py::ssize_t want) { return want < 0 || have == want; });
}

/// The values of a C-contiguous array of this type and, if any are named, one of these shapes; no conversion, no copy.
template <class Value>
std::span<const Value> values(const py::array& array, const char* name, std::initializer_list<Shape> shapes = {}) {
    bool good = shapes.size() == 0;
    std::string expected;
    for (const Shape& shape : shapes) {
        good = good || fits(shape_of(array), shape);
        expected += (expected.empty() ? " " : " or ") + text(shape);
    }
    if (!good || !py::isinstance<py::array_t<Value, py::array::c_style>>(array)) {
        const bool contiguous = (array.flags() & py::array::c_style) != 0;
        throw py::value_error(std::string(name) + " must be a contiguous " +
                              py::str(py::dtype::of<Value>()).template cast<std::string>() + " array" + expected +
                              ", not " + (contiguous ? "" : "strided ") + py::str(array.dtype()).cast<std::string>() +
                              " " + text(shape_of(array)));
    }
    return {static_cast<const Value*>(array.data()), static_cast<std::size_t>(array.size())};
}

template <class Value>
std::span<Value> values(py::array_t<Value>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

/// Anything that Python can count with.
using Whole = py::object;

/// A whole number that is not negative.
std::uint64_t natural(const Whole& value, const char* name) {
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index) {
        throw py::error_already_set();
    }
    const std::uint64_t result = PyLong_AsUnsignedLongLong(index.ptr());
    if (PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        throw py::value_error(std::string(name) + " must be in 0..2**64-1, not " + py::str(index).cast<std::string>());
    }
    return result;
}

py::array_t<std::int64_t> draw(const Whole& size, const Whole& pairs, const Whole& seed) {
    const auto drawn = pairnet::draw(natural(size, "size"), natural(pairs, "pairs"), natural(seed, "seed"));
    return py::array_t<std::int64_t>(Shape{static_cast<py::ssize_t>(drawn.size() / 2), 2}, drawn.data());
}

py::array_t<std::uint16_t> pool_pairs(const py::array& images, const py::array& indices, const Whole& threads) {
    const auto pixels =
        values<std::uint8_t>(images, "images", {{-1, image_side, image_side}, {-1, pooled_side, pooled_side}});
    const auto rows = values<std::int64_t>(indices, "indices", {{-1, 2}});
    py::array_t<std::uint16_t> pooled(Shape{indices.shape(0), 2, pooled_side, pooled_side});
    pairnet::pool(pixels, static_cast<std::size_t>(images.shape(1)), rows, values(pooled), natural(threads, "threads"));
    return pooled;
}

py::array_t<float> targets(const py::array& digits) {
    const auto labels = values<std::uint8_t>(digits, "digits", {{-1, 2}});
    py::array_t<float> result(Shape{digits.shape(0)});
    pairnet::targets(labels, values(result));
    return result;
}

std::tuple<double, double> moments(const py::array& pixels, const Whole& threads) {
    const auto found = pairnet::moments(values<std::uint16_t>(pixels, "pixels"), natural(threads, "threads"));
    return {found.mean, found.std};
}

py::array_t<float> normalise(const py::array& pixels, double mean, double std, const Whole& threads,
                             const std::string& simd) {
    const auto given = values<std::uint16_t>(pixels, "pixels");
    py::array_t<float> result(shape_of(pixels));
    pairnet::normalise(given, values(result), pairnet::normaliser({.mean = mean, .std = std}),
                       natural(threads, "threads"), pairnet::kernels(simd));
    return result;
}

py::tuple glyphs(const py::array& indices, const Whole& seed, const Whole& threads) {
    const auto rows = values<std::int64_t>(indices, "indices", {{-1}});
    py::array_t<std::uint8_t> images(Shape{indices.shape(0), image_side, image_side});
    py::array_t<std::uint8_t> labels(Shape{indices.shape(0)});
    pairnet::glyphs(rows, natural(seed, "seed"), values(images), values(labels), natural(threads, "threads"));
    return py::make_tuple(images, labels);
}

/// rotation, scale, shear, shift, elastic
using Range = std::tuple<float, float, float, float, float>;

pairnet::WarpRange warp_range(const Range& range) {
    const auto [rotation, scale, shear, shift, elastic] = range;
    return {.rotation = rotation, .scale = scale, .shear = shear, .shift = shift, .elastic = elastic};
}

py::array_t<float> warps(const py::array& indices, const Range& range, const Whole& seed, const Whole& epoch) {
    const auto rows = values<std::int64_t>(indices, "indices", {{-1}});
    py::array_t<float> result(Shape{indices.shape(0), 2, pairnet::warp_parameters});
    pairnet::random_warps(rows, warp_range(range), natural(seed, "seed"), natural(epoch, "epoch"), values(result));
    return result;
}

py::array_t<float> warp(const py::array& images, const py::array& parameters, const std::string& simd) {
    const auto pixels = values<std::uint16_t>(images, "images", {{-1, pooled_side, pooled_side}});
    const auto given = values<float>(parameters, "parameters", {{images.shape(0), pairnet::warp_parameters}});
    py::array_t<float> result(shape_of(images));
    pairnet::warp(pixels, given, values(result), pairnet::kernels(simd));
    return result;
}

std::vector<std::string> simd_levels() {
    std::vector<std::string> names;
    for (const pairnet::Kernels* level : pairnet::simd_levels()) {
        names.emplace_back(level->name);
    }
    return names;
}

std::unique_ptr<pairnet::Loader> make_loader(const py::array& pixels, const py::array& digits, double mean, double std,
                                             const Whole& batch, const Whole& seed, bool shuffle, bool drop_last,
                                             const Whole& threads, const Whole& prefetch,
                                             const std::optional<Range>& warp, const std::string& simd) {
    const auto images = values<std::uint16_t>(pixels, "pixels", {{-1, 2, pooled_side, pooled_side}});
    const auto labels = values<std::uint8_t>(digits, "digits", {{pixels.shape(0), 2}});
    pairnet::LoaderOptions options{.moments = {.mean = mean, .std = std},
                                   .batch = natural(batch, "batch"),
                                   .seed = natural(seed, "seed"),
                                   .shuffle = shuffle,
                                   .drop_last = drop_last,
                                   .threads = natural(threads, "threads"),
                                   .prefetch = natural(prefetch, "prefetch"),
                                   .warp = std::nullopt,
                                   .simd = simd};
    if (warp) {
        options.warp = warp_range(*warp);
    }
    const py::gil_scoped_release release;
    return std::make_unique<pairnet::Loader>(images, labels, options);
}

void start(pairnet::Loader& loader, const Whole& epoch, const Whole& first_batch) {
    const std::uint64_t number = natural(epoch, "epoch");
    const std::uint64_t first = natural(first_batch, "first_batch");
    const py::gil_scoped_release release;
    loader.start(number, first);
}

/// Waits without the GIL, in slices, so that Ctrl-C is heard between them.
std::shared_ptr<pairnet::Batch> wait_for_next(pairnet::Loader& loader) {
    for (;;) {
        {
            const py::gil_scoped_release release;
            if (auto batch = loader.next(std::chrono::milliseconds(50))) {
                return *batch;
            }
        }
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
    }
}

py::object next(pairnet::Loader& loader) {
    const std::shared_ptr<pairnet::Batch> batch = wait_for_next(loader);
    if (batch == nullptr) {
        return py::none();
    }
    const auto size = static_cast<py::ssize_t>(batch->size());
    const py::object owner = py::cast(batch);
    return py::make_tuple(py::array_t<float>(Shape{size, 2, pooled_side, pooled_side}, batch->pair().data(), owner),
                          py::array_t<float>(Shape{size}, batch->target().data(), owner),
                          py::array_t<std::int64_t>(Shape{size, 2}, batch->digits().data(), owner));
}

}  // namespace

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
    module.attr("revision") = PAIRNET_REVISION;
    module.doc() = "The C++ core of pairnet; see _core.pyi.";

    module.def("draw", draw, "size"_a, "pairs"_a, "seed"_a);
    module.def("pool_pairs", pool_pairs, "images"_a, "indices"_a, "threads"_a = 1);
    module.def("targets", targets, "digits"_a);
    module.def("moments", moments, "pixels"_a, "threads"_a = 1);
    module.def("normalise", normalise, "pixels"_a, "mean"_a, "std"_a, "threads"_a = 1, "simd"_a = "auto");
    module.def("glyphs", glyphs, "indices"_a, "seed"_a, "threads"_a = 1);
    module.def("warps", warps, "indices"_a, "range"_a, "seed"_a, "epoch"_a);
    module.def("warp", warp, "images"_a, "parameters"_a, "simd"_a = "auto");
    module.def("simd_levels", simd_levels);

    py::class_<pairnet::Batch, std::shared_ptr<pairnet::Batch>>(module, "Batch");  // owns the memory of its arrays
    py::class_<pairnet::Loader>(module, "Loader")
        .def(py::init(&make_loader), "pixels"_a, "digits"_a, py::kw_only(), "mean"_a, "std"_a, "batch"_a, "seed"_a,
             "shuffle"_a = true, "drop_last"_a = false, "threads"_a = 1, "prefetch"_a = 4, "warp"_a = py::none(),
             "simd"_a = "auto", py::keep_alive<1, 2>(), py::keep_alive<1, 3>())  // it reads pixels and digits in place
        .def("start", start, "epoch"_a, "first_batch"_a = 0)
        .def("next", next)
        .def("close", &pairnet::Loader::close, py::call_guard<py::gil_scoped_release>())
        .def("__len__", &pairnet::Loader::batches);
}
