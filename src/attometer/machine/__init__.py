"""The room `machine`."""
