"""Measuring models, strategies and quantizations."""
