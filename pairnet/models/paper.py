"""The numbers printed in the paper (Tables I to III and parameter counts).

L. Kong, J. Wu, P. H. Thong: EE559 Project 1, "Classification, Weight Sharing, Auxiliary Losses", EPFL.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Printed:
    """An accuracy printed in the paper: mean and standard deviation, both as fractions of 1."""

    mean: float
    std: float


TABLE_I = {
    "fc_1": Printed(mean=0.765, std=0.007),
    "fc_2": Printed(mean=0.763, std=0.004),
    "fc_3": Printed(mean=0.811, std=0.003),
    "conv_1": Printed(mean=0.785, std=0.010),
    "conv_2": Printed(mean=0.801, std=0.009),
    "conv_3": Printed(mean=0.804, std=0.006),
    "cnn_base": Printed(mean=0.826, std=0.011),
}
"""Accuracies of the baselines, by variant."""

TABLE_II = {
    2.0: Printed(mean=0.910, std=0.005),
    1.5: Printed(mean=0.907, std=0.007),
    1.0: Printed(mean=0.913, std=0.011),
    0.5: Printed(mean=0.936, std=0.0019),
    0.1: Printed(mean=0.904, std=0.009),
}
"""Accuracies of a_w_net, by loss ratio."""

TABLE_III = {
    "cnn_base": Printed(mean=0.826, std=0.011),
    "no_w_net": Printed(mean=0.847, std=0.009),
    "w_net": Printed(mean=0.874, std=0.006),
    "a_net": Printed(mean=0.913, std=0.010),
    "a_w_net": Printed(mean=0.936, std=0.0019),
    "final_model": Printed(mean=0.952, std=0.007),
}
"""Accuracies of the main results, by variant."""

PARAMETERS = {
    "fc_1": 96_433,
    "fc_2": 144_747,
    "fc_3": 924_337,
    "conv_1": 2_571,
    "conv_2": 48_851,
    "conv_3": 9_411,
    "cnn_base": 105_889,
    "no_w_net": 235_777,
    "w_net": 142_658,
    "a_net": 248_843,
    "a_w_net": 155_275,
    "final_model": 155_275,
}
"""Printed parameter counts, by variant."""
