"""All instances of a run's groups in large frames: matched filters, then explaining away."""
