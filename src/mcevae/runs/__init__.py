"""Open a trained run: its files, and what its model finds in images."""
