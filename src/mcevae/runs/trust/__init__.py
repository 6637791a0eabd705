"""Whether to believe a run: cues without labels, and the trust that follows from them."""
