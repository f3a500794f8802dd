#include "kernels_body.h"

namespace pairnet {

extern const Kernels avx2_kernels;
const Kernels avx2_kernels{"avx2", normalise, warp};

}  // namespace pairnet
