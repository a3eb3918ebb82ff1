"""The room `mechanisms`."""
