#include "kernels_body.h"

namespace pairnet {

extern const Kernels baseline_kernels;
const Kernels baseline_kernels{"baseline", normalise, warp};

}  // namespace pairnet
