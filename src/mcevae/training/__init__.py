"""Training of a model. Start reading with `loop`."""
