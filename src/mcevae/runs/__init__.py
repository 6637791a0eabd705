"""A trained run: its files, and its answers."""
