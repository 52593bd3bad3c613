"""Generator of small Keras models, run inside each old environment (Python 3.6 syntax)."""
