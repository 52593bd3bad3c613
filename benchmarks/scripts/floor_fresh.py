"""The floor, last step: a fresh process loads the saved model, predicts and compares. Arguments: SAVED PROBES OUTPUTS."""

import sys

import keras
from floor_compare import compare

saved, probe_file, output_file = sys.argv[1:4]
compare(keras.models.load_model(saved, compile=False), probe_file, output_file)
