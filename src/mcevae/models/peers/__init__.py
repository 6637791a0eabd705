"""Peers of MCE-VAE, one file each: a model under `contract.Model`, its settings and its preset.

Each is written from its paper. Where the papers use other sizes, encoders and decoders are those of
MCE-VAE's, so that what is compared is the method.
"""
