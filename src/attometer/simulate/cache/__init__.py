"""Caches fed with traces of references."""
