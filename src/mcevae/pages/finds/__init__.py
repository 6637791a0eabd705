"""Frames with the things that were found in them, to look at and to correct."""
