"""Memory: what exists at once, and what the backward pass needs."""
