#include "kernels.h"

#include <stdexcept>
#include <string>

namespace pairnet {

extern const Kernels baseline_kernels;  // each is defined in the file of the same name
#ifdef PAIRNET_X86
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

const std::vector<const Kernels*>& simd_levels() {
    static const std::vector<const Kernels*> levels = [] {
        std::vector<const Kernels*> supported;
#ifdef PAIRNET_X86
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            supported.push_back(&avx512_kernels);
        }
        if (__builtin_cpu_supports("avx2")) {
            supported.push_back(&avx2_kernels);
        }
#endif
        supported.push_back(&baseline_kernels);
        return supported;
    }();
    return levels;
}

const Kernels& kernels(std::string_view level) {
    if (level == "auto") {
        return *simd_levels().front();
    }
    std::string names = "auto";
    for (const Kernels* known : simd_levels()) {
        if (known->name == level) {
            return *known;
        }
        names += ", " + std::string(known->name);
    }
    throw std::invalid_argument("expected `simd` as one of " + names + ", got " + std::string(level));
}

}  // namespace pairnet
