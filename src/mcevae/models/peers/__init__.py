"""Peers of MCE-VAE. Each file has a model that keeps `contract.Model`, its settings and preset.

Each is written from its paper. If a paper uses other sizes, encoder and decoder are nevertheless
those of MCE-VAE, so that the methods are compared, not the sizes.
"""
