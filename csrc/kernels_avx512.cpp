#include "kernels_body.h"

namespace pairnet {

extern const Kernels avx512_kernels;
const Kernels avx512_kernels{"avx512", normalise, warp};

}  // namespace pairnet
