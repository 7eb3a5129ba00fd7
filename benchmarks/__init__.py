"""Measuring: so far a smoke set and start-up times."""
