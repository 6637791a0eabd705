"""Readers of image files: `registry` says which reads what. None changes a pixel."""
