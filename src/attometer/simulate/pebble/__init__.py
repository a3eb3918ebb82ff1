"""The red-blue pebble game, solved exactly."""
