"""Training a network, and its export to ONNX."""
