"""Lie groups, and images moved by their elements."""
