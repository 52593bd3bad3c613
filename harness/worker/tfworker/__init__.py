"""Operations that run inside a TensorFlow environment (TF 1.12 / Python 3.6 up to TF 2.21 / Python 3.13)."""
