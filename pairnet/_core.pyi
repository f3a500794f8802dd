"""Types and documentation of the C++ core (csrc/bindings.cpp).

Pixels are grey levels; a pooled pixel is the sum of its 2x2 block. Arrays must be C-contiguous, aligned and of the type
given here: nothing is converted. An array that does not match and a number out of bounds raise ValueError, another type
raises TypeError; the message names the argument in backticks, the expected and the given value. `simd` is "auto" or one
of simd_levels(); `threads` is a number of threads in 1..1024. Neither changes a bit of the result. All functions
release the GIL while they work. pairnet.data translates their errors into pairnet's own.
"""

from typing import final

import numpy as np
from numpy.typing import NDArray

revision: str
"""The git revision that the extension was built from, or "unknown"."""

def draw(size: int, pairs: int, seed: int) -> NDArray[np.int64]:
    """The first 2*pairs entries of a random permutation of range(size), two by two -> [pairs,2].

    A function of (size, pairs, seed). Time and memory grow with pairs, not with size.
    ValueError if 2*pairs > size or size >= 2**32.
    """

def pool(images: NDArray[np.uint8], threads: int = 1) -> NDArray[np.uint16]:
    """Sums of the 2x2 blocks of images [N,28,28] -> [N,14,14] in 0..1020."""

def pool_pairs(images: NDArray[np.uint8], indices: NDArray[np.int64], threads: int = 1) -> NDArray[np.uint16]:
    """Pooled images at `indices` [n,2] -> [n,2,14,14] in 0..1020.

    images: [N,28,28], pooled as by pool(), or [N,14,14], multiplied by four. ValueError for an index that is not in
    0..N-1.
    """

def targets(digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """1 if the first digit is less than or equal to the second, else 0.  digits [n,2] -> [n]."""

def moments(pixels: NDArray[np.uint16], threads: int = 1) -> tuple[float, float]:
    """Mean and (unbiased) standard deviation of pooled pixels of any shape, in grey levels 0..255.

    Computed from exact integer sums. ValueError for fewer than two pixels.
    """

def normalise(
    pixels: NDArray[np.uint16], mean: float, std: float, threads: int = 1, simd: str = "auto"
) -> NDArray[np.float32]:
    """(pixel/4 - mean) / std, in the same shape, by the kernel that the loader uses.

    ValueError unless mean is finite and std is finite and positive.
    """

def glyphs(indices: NDArray[np.int64], seed: int, threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Procedural digits with numbers indices[k] in the endless stream `seed` -> images [n,28,28], labels [n] in 0..9.

    Image and label are functions of (seed, index). ValueError for a negative index.
    """

def warps(
    indices: NDArray[np.int64], range: tuple[float, float, float, float, float], seed: int, epoch: int
) -> NDArray[np.float32]:
    """The warps that a Loader(seed=seed, warp=range) applies to pairs `indices` [n] in `epoch` -> [n,2,38].

    range is (rotation in degrees, scale, shear, shift in pixels), each a largest magnitude, and elastic, a standard
    deviation in pixels. The result is (rotation in degrees, factor in x, factor in y, shear, dx and dy in pixels,
    4x4 displacements in x, 4x4 in y) for each image of each pair. ValueError for an invalid range, a negative index or
    epoch >= 2**28.
    """

def warp(images: NDArray[np.uint16], parameters: NDArray[np.float32], simd: str = "auto") -> NDArray[np.float32]:
    """Warps pooled images [m,14,14], each by its row of parameters [m,38] -> grey levels 0..255 [m,14,14].

    With (rotation, fx, fy, shear, dx, dy), the centre c = (6.5, 6.5) and y down, a point p = (x, y) moves to
    q = c + R(rotation) * [1 shear; 0 1] * [fx 0; 0 fy] * (p - c) + (dx, dy). The source position of each output pixel
    is then displaced: bicubic between the given 4x4 values, whose corners are the corners of the image, as in
    torch.nn.functional.interpolate(mode="bicubic", align_corners=True). Sampling is bilinear; 0 outside the image.
    ValueError for a parameter that is not finite or a factor that is not positive.
    """

def simd_levels() -> list[str]:
    """Instruction sets that this CPU can run, fastest first, e.g. ["avx512", "avx2", "baseline"]."""

@final
class Loader:
    """Threads that turn pooled pairs into normalised, shuffled, optionally warped batches, delivered in order.

    Pair i of epoch e depends only on (seed, e, i), not on `threads`, `prefetch` or `simd`. The thread that calls next()
    is one of `threads`: it makes a batch itself if none is ready. A loader cannot be copied or pickled. In a process
    forked from the one that created it, start() and next() raise RuntimeError, and close() and deletion do nothing. A
    daemon thread inside a call does not return from it once the interpreter exits.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint16],
        digits: NDArray[np.uint8],
        *,
        mean: float,
        std: float,
        batch: int,
        seed: int,
        shuffle: bool = True,
        drop_last: bool = False,
        threads: int = 1,
        prefetch: int = 4,
        warp: tuple[float, float, float, float, float] | None = None,
        simd: str = "auto",
    ) -> None:
        """Reads pixels [n,2,14,14] and digits [n,2] in place, so they must not change while the loader exists.

        prefetch, in 1..65536, is the number of batches made ahead, up to the end of the next epoch. warp is (rotation
        in degrees, scale, shear, shift in pixels, elastic in pixels), as for warps(). RuntimeError if the system cannot
        start `threads` threads.
        """

    def start(self, epoch: int, first_batch: int = 0) -> None:
        """Begins to make the batches of `epoch`, starting with `first_batch`.

        Batches made ahead are used if this continues with the epoch after one that has ended, else dropped.
        ValueError if first_batch > len(self) or epoch >= 2**28; RuntimeError after close().
        """

    def next(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]] | None:
        """The next batch: pair [B,2,14,14], target [B], digits [B,2]; None at the end of the epoch.

        The arrays share one block of memory, which exists until the last of them is deleted. Handles signals such as
        Ctrl-C while it waits. Raises the exception of the worker that made this batch; RuntimeError after close().
        """

    def close(self) -> None:
        """Stops and joins the workers; deleting the loader does this too."""

    def __len__(self) -> int:
        """Number of batches in an epoch."""
