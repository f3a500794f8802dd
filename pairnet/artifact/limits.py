"""The bounds of an exported file: one table, each bound with the reason why no export needs more.

A file may come from anybody. Each bound is some ten times what the largest file of the table of variants has, over all
inputs, precisions and opsets, or follows from a bound elsewhere. An export inspects its files before they appear, so a
network of the user's own that needs more is refused there, with the bound.
"""

from pairnet.data.idx import MAX_BYTES

# The file, before it is parsed
LARGEST_FILE = 64 * 2**20
"""Bytes of a file: fc_3, the largest variant, has 3.7 MB. Read, parsed and loaded, it stays below 500 MB of memory."""
MOST_OUTLINE = 2**20
"""Bytes of a file without the bytes of its weights: a_net in 8 bits has 28,000, some 320 for each node."""

# The graph, before it is inspected
MOST_NODES = 1000
"""Nodes: a_net in 8 bits has 90."""
COUNTS = {
    "node": MOST_NODES,
    "initializer": 2 * MOST_NODES,  # a_net in 8 bits: 115
    "value_info": 2 * MOST_NODES,  # a node has two outputs at most
    "input": 5,  # of a node: those of a batch normalisation; of a graph: 2
    "output": 2,  # of a node: those of Split; of a graph: 2
    "attribute": 3,  # of a convolution
    "ints": 4,  # pads
    "dims": 4,  # kernels [outputs,inputs,height,width]
    "dim": 4,  # images [N,channels,height,width]
}
"""Entries of each repeated field of ONNX's protobuf messages."""
LONGEST_NAME = 300
"""Characters of a name: "idx:" with the name of a folder, at most 255 bytes; of a value, 48 in the longest."""

# The size of what a run computes
LARGEST_VALUE = 2**24
"""Elements of any intermediate value, for one pair."""
MOST_ELEMENTS = 2**21
"""Elements of all values together, for one pair; the largest file of pairnet has a tenth."""
BATCH = 32
"""Pairs in one run, among which values without a batch axis, weights, are counted."""
SAMPLE = 31
"""Pairs with which sizes are computed: a prime that no layer of the table has, so that no axis passes for the batch."""
MOST_MULTIPLY_ADDS = 2**30
"""Multiply-adds for one pair: order_net takes 2**24."""

# The weights
LARGEST_WEIGHT = 1e4
"""Absolute value of a weight, bias or scale: 2.2 is the largest of the table's trained networks, 34 of a pixel mean.
float16 ends at 65,504."""
LARGEST_VARIANCE = LARGEST_WEIGHT**2
"""Of a batch normalisation's channel: 8.3 is the largest of the table's trained networks."""

# The metadata
MOST_METADATA = 100
"""Entries of the metadata: an export writes 24, a newer version may add some."""
LONGEST_VALUE = 10_000
"""Characters of one entry other than the structure: the longest, the recipe, has 281."""
MOST_LAYERS = MOST_NODES
"""Layers of the structure: the joint file has a node for each of them but dropout, and two for what dropout follows."""
LONGEST_STRUCTURE = 40 * MOST_LAYERS
"""Characters of the structure: a layer with the largest sizes is conv(1000000,1000000,1000000)*1000000."""
MOST_PARAMETERS = 2 * LARGEST_FILE
"""Trainable values: those of an encoder and of a head, each a byte at least."""
MOST_PAIRS = MAX_BYTES // (14 * 14) // 2
"""Pairs of a draw, without replacement: half of the images of the largest IDX file that is read."""
SMALLEST_STD = 5e-6
"""Grey levels: the standard deviation of MOST_PAIRS of which one pooled pixel differs by a quarter of a grey level."""
LARGEST_STD = 128.0
"""Grey levels: half of the pixels are black and half are white."""
