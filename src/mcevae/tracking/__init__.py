"""Tracks of a run's things through the frames of a film, and the kinds of their paths."""
