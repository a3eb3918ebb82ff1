"""Linear attention and the other approximate forms."""
