"""The version of pairnet."""

__version__ = "0.1.0"
