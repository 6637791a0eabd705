"""A run for other programs and other people."""
