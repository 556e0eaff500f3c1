"""Models as files: safetensors, and what other programs read."""
