"""The other program: runs inside a TensorFlow environment, never imports the host."""
