"""Crops from large images: which ones there are, and their pixels, read window by window."""
