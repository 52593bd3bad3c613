"""Neutral graphs in the target environment; the code ships with models, as the module ``harness_layers``."""

from harness_layers import Graph

__all__ = ["Graph"]
