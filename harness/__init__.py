"""Migrate TensorFlow 1.x models to today's TensorFlow, and prove that they compute the same."""

__version__ = "0.1.0"
