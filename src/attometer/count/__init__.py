"""The room `count`."""
