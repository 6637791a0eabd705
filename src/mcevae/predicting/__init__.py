"""Predict any number of new images and write the results as tables."""
