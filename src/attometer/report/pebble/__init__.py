"""The report of the pebble game."""
