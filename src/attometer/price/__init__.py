"""The room `price`."""
