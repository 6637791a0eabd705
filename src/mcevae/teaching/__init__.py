"""First clusters and poses from images alone, without a network."""
