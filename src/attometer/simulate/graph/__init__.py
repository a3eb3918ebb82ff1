"""The computation graph, node by node."""
