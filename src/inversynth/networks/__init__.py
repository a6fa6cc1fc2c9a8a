"""Keras networks for any parameter space: front ends, heads, the paper's architectures."""
