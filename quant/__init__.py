"""Making GGUF files."""
