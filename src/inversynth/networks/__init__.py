"""Keras networks for any parameter space: architectures, front ends, heads."""
