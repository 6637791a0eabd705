"""Read images from any source and bring them to one form."""
