"""Masks: relations between query and key positions, one file each."""
