"""First clusters and poses, found from the images alone, without a network."""
