"""A run over any number of new images, into tables."""
