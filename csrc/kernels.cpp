#include "kernels.h"

#include <stdexcept>
#include <string>

namespace pairnet {

extern const Kernels baseline_kernels;  // each defined in the file of its name
#ifdef PAIRNET_X86
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

const std::vector<const Kernels*>& simd_levels() {
    static const std::vector<const Kernels*> levels = [] {
        std::vector<const Kernels*> found;
#ifdef PAIRNET_X86
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            found.push_back(&avx512_kernels);
        }
        if (__builtin_cpu_supports("avx2")) {
            found.push_back(&avx2_kernels);
        }
#endif
        found.push_back(&baseline_kernels);
        return found;
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
    throw std::invalid_argument("simd must be one of " + names + ", not " + std::string(level));
}

}  // namespace pairnet
