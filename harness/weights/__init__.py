"""Weights that stand alone, put into a model that a script, an architecture or another file describes."""
