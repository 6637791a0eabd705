"""Training a model: start with `loop`."""
