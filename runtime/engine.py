"""The seam to running a model: the `Engine` protocol and the `Generation` handle that every engine gives back."""
