"""The model of preset `default`."""
