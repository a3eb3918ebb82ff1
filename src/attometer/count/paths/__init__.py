"""Path length: how many operations lie between an input token and an output token."""
