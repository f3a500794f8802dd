/// The Python module pairnet._core: a table of contents. This file checks and wraps arrays; everything else is in the
/// core. Documentation: pairnet/_core.pyi.
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
#include <thread>
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

/// An expected shape; -1 stands for any length.
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

/// Releases the GIL during its lifetime. While the interpreter exits, CPython ends a thread that asks for the GIL with
/// pthread_exit(), whose unwinding would call std::terminate() here: such a thread (only a daemon thread) sleeps
/// instead.
class GilReleased {
  public:
    GilReleased() : state_(PyEval_SaveThread()) {}
    ~GilReleased() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {  // the unwinding of pthread_exit(); leaving this block would end the process
            for (;;) {
                std::this_thread::sleep_for(std::chrono::hours(1));
            }
        }
    }
    GilReleased(const GilReleased&) = delete;
    GilReleased(GilReleased&&) = delete;
    GilReleased& operator=(const GilReleased&) = delete;
    GilReleased& operator=(GilReleased&&) = delete;

  private:
    PyThreadState* state_;
};

/// The values of a C-contiguous, aligned array of this type and one of these shapes (any shape if none are given); no
/// conversion, no copy.
template <class Value>
std::span<const Value> values(const py::array& array, const char* name, std::initializer_list<Shape> shapes = {}) {
    bool good = shapes.size() == 0;
    std::string expected;
    for (const Shape& shape : shapes) {
        good = good || fits(shape_of(array), shape);
        expected += (expected.empty() ? " " : " or ") + text(shape);
    }
    const bool contiguous = (array.flags() & py::array::c_style) != 0;
    const bool aligned = reinterpret_cast<std::uintptr_t>(array.data()) % alignof(Value) == 0;
    if (!good || !aligned || !py::isinstance<py::array_t<Value, py::array::c_style>>(array)) {
        throw py::value_error("expected `" + std::string(name) + "` as a contiguous " +
                              py::str(py::dtype::of<Value>()).template cast<std::string>() + " array" + expected +
                              ", got " + (contiguous ? "" : "strided ") + (aligned ? "" : "misaligned ") +
                              py::str(array.dtype()).cast<std::string>() + " " + text(shape_of(array)));
    }
    return {static_cast<const Value*>(array.data()), static_cast<std::size_t>(array.size())};
}

template <class Value>
std::span<Value> values(py::array_t<Value>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

/// A Python object that is used as an integer.
using Integer = py::object;

/// An integer in 0..2**64-1.
std::uint64_t natural(const Integer& value, const char* name) {
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index) {
        PyErr_Clear();
        throw py::type_error("expected `" + std::string(name) + "` as an integer, got " +
                             Py_TYPE(value.ptr())->tp_name);
    }
    const std::uint64_t result = PyLong_AsUnsignedLongLong(index.ptr());
    if (PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        const auto bits = index.attr("bit_length")().cast<std::size_t>();
        throw py::value_error(
            "expected `" + std::string(name) + "` in 0..2**64-1, got " +
            (bits < 1000 ? py::str(index).cast<std::string>() : "an integer of " + std::to_string(bits) + " bits"));
    }
    return result;
}

py::array_t<std::int64_t> draw(const Integer& size, const Integer& pairs, const Integer& seed) {
    const std::uint64_t images = natural(size, "size");
    const std::uint64_t count = natural(pairs, "pairs");
    const std::uint64_t key = natural(seed, "seed");
    std::vector<std::int64_t> drawn;
    {
        const GilReleased released;
        drawn = pairnet::draw(images, count, key);
    }
    return py::array_t<std::int64_t>(Shape{static_cast<py::ssize_t>(drawn.size() / 2), 2}, drawn.data());
}

py::array_t<std::uint16_t> pool(const py::array& images, const Integer& threads) {
    const auto pixels = values<std::uint8_t>(images, "images", {{-1, image_side, image_side}});
    py::array_t<std::uint16_t> pooled(Shape{images.shape(0), pooled_side, pooled_side});
    const auto out = values(pooled);
    const std::uint64_t number = natural(threads, "threads");
    const GilReleased released;
    pairnet::pool(pixels, out, number);
    return pooled;
}

py::array_t<std::uint16_t> pool_pairs(const py::array& images, const py::array& indices, const Integer& threads) {
    const auto pixels =
        values<std::uint8_t>(images, "images", {{-1, image_side, image_side}, {-1, pooled_side, pooled_side}});
    const auto side = static_cast<std::size_t>(images.shape(1));
    const auto rows = values<std::int64_t>(indices, "indices", {{-1, 2}});
    py::array_t<std::uint16_t> pooled(Shape{indices.shape(0), 2, pooled_side, pooled_side});
    const auto out = values(pooled);
    const std::uint64_t number = natural(threads, "threads");
    const GilReleased released;
    pairnet::pool_at(pixels, side, rows, out, number);
    return pooled;
}

py::array_t<float> targets(const py::array& digits) {
    const auto labels = values<std::uint8_t>(digits, "digits", {{-1, 2}});
    py::array_t<float> result(Shape{digits.shape(0)});
    const auto out = values(result);
    const GilReleased released;
    pairnet::targets(labels, out);
    return result;
}

std::tuple<double, double> moments(const py::array& pixels, const Integer& threads) {
    const auto given = values<std::uint16_t>(pixels, "pixels");
    const std::uint64_t number = natural(threads, "threads");
    const GilReleased released;
    const auto [mean, std] = pairnet::moments(given, number);
    return {mean, std};
}

py::array_t<float> normalise(const py::array& pixels, double mean, double std, const Integer& threads,
                             const std::string& simd) {
    const auto given = values<std::uint16_t>(pixels, "pixels");
    const auto by = pairnet::normaliser({.mean = mean, .std = std});
    py::array_t<float> result(shape_of(pixels));
    const auto out = values(result);
    const std::uint64_t number = natural(threads, "threads");
    const GilReleased released;
    pairnet::normalise(given, out, by, number, pairnet::kernels(simd));
    return result;
}

py::tuple glyphs(const py::array& indices, const Integer& seed, const Integer& threads) {
    const auto rows = values<std::int64_t>(indices, "indices", {{-1}});
    py::array_t<std::uint8_t> images(Shape{indices.shape(0), image_side, image_side});
    py::array_t<std::uint8_t> labels(Shape{indices.shape(0)});
    const auto pixels = values(images);
    const auto digits = values(labels);
    const std::uint64_t key = natural(seed, "seed");
    const std::uint64_t number = natural(threads, "threads");
    {
        const GilReleased released;
        pairnet::glyphs(rows, key, pixels, digits, number);
    }
    return py::make_tuple(images, labels);
}

/// The rotation, scale, shear, shift and elastic of a WarpRange.
using Range = std::tuple<float, float, float, float, float>;

pairnet::WarpRange warp_range(const Range& range) {
    const auto [rotation, scale, shear, shift, elastic] = range;
    return {.rotation = rotation, .scale = scale, .shear = shear, .shift = shift, .elastic = elastic};
}

py::array_t<float> warps(const py::array& indices, const Range& range, const Integer& seed, const Integer& epoch) {
    const auto rows = values<std::int64_t>(indices, "indices", {{-1}});
    py::array_t<float> result(Shape{indices.shape(0), 2, pairnet::warp_parameters});
    const auto out = values(result);
    const std::uint64_t key = natural(seed, "seed");
    const std::uint64_t number = natural(epoch, "epoch");
    const GilReleased released;
    pairnet::random_warps(rows, warp_range(range), key, number, out);
    return result;
}

py::array_t<float> warp(const py::array& images, const py::array& parameters, const std::string& simd) {
    const auto pixels = values<std::uint16_t>(images, "images", {{-1, pooled_side, pooled_side}});
    const auto given = values<float>(parameters, "parameters", {{images.shape(0), pairnet::warp_parameters}});
    py::array_t<float> result(shape_of(images));
    const auto out = values(result);
    const GilReleased released;
    pairnet::warp(pixels, given, out, pairnet::kernels(simd));
    return result;
}

std::vector<std::string> simd_levels() {
    std::vector<std::string> names;
    for (const pairnet::Kernels* level : pairnet::simd_levels()) {
        names.emplace_back(level->name);
    }
    return names;
}

/// A loader as Python holds it; see LoaderDeleter.
using Handle = std::shared_ptr<pairnet::Loader>;

Handle make_loader(const py::array& pixels, const py::array& digits, double mean, double std, const Integer& batch,
                   const Integer& seed, bool shuffle, bool drop_last, const Integer& threads, const Integer& prefetch,
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
    const GilReleased released;
    return {new pairnet::Loader(images, labels, options), pairnet::LoaderDeleter{}};
}

/// The loader in a Python object. An object that __new__ made and __init__ did not fill holds none.
Handle loader_of(const py::object& self) {
    try {
        if (auto loader = self.cast<Handle>()) {
            return loader;
        }
    } catch (const py::cast_error&) {  // reported below
    }
    throw py::type_error("expected a Loader that was created with Loader(...), got " +
                         std::string(Py_TYPE(self.ptr())->tp_name) +
                         (py::isinstance<pairnet::Loader>(self) ? " without a call of __init__" : ""));
}

std::size_t length(const py::object& self) {
    return loader_of(self)->batches();
}

void close_loader(const py::object& self) {
    const Handle loader = loader_of(self);
    const GilReleased released;
    loader->close();
}

void start(const py::object& self, const Integer& epoch, const Integer& first_batch) {
    const Handle loader = loader_of(self);
    const std::uint64_t number = natural(epoch, "epoch");
    const std::uint64_t first = natural(first_batch, "first_batch");
    const GilReleased released;
    loader->start(number, first);
}

/// Waits without the GIL, for a short time at once: signals (Ctrl-C) are handled in between.
std::shared_ptr<pairnet::Batch> wait_for_next(pairnet::Loader& loader) {
    for (;;) {
        {
            const GilReleased released;
            if (auto batch = loader.next(std::chrono::milliseconds(50))) {
                return *batch;
            }
        }
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
    }
}

py::object next(const py::object& self) {
    const Handle loader = loader_of(self);
    const std::shared_ptr<pairnet::Batch> batch = wait_for_next(*loader);
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
    module.doc() = "The C++ core of pairnet; documented in _core.pyi.";

    module.def("draw", draw, "size"_a, "pairs"_a, "seed"_a);
    module.def("pool", pool, "images"_a, "threads"_a = 1);
    module.def("pool_pairs", pool_pairs, "images"_a, "indices"_a, "threads"_a = 1);
    module.def("targets", targets, "digits"_a);
    module.def("moments", moments, "pixels"_a, "threads"_a = 1);
    module.def("normalise", normalise, "pixels"_a, "mean"_a, "std"_a, "threads"_a = 1, "simd"_a = "auto");
    module.def("glyphs", glyphs, "indices"_a, "seed"_a, "threads"_a = 1);
    module.def("warps", warps, "indices"_a, "range"_a, "seed"_a, "epoch"_a);
    module.def("warp", warp, "images"_a, "parameters"_a, "simd"_a = "auto");
    module.def("simd_levels", simd_levels);

    py::class_<pairnet::Batch, std::shared_ptr<pairnet::Batch>>(module, "Batch");  // owns the memory of its arrays
    py::class_<pairnet::Loader, Handle>(module, "Loader")
        .def(py::init(&make_loader), "pixels"_a, "digits"_a, py::kw_only(), "mean"_a, "std"_a, "batch"_a, "seed"_a,
             "shuffle"_a = true, "drop_last"_a = false, "threads"_a = 1, "prefetch"_a = 4, "warp"_a = py::none(),
             "simd"_a = "auto", py::keep_alive<1, 2>(), py::keep_alive<1, 3>())  // it reads pixels and digits in place
        .def("start", start, "epoch"_a, "first_batch"_a = 0)
        .def("next", next)
        .def("close", close_loader)
        .def("__len__", length);
}
