"""Attometer's attention inside other libraries, each in a room of its own that needs that library."""
