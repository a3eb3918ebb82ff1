"""One Hypothesis profile for every test: no deadline, since a busy machine is not a fault."""

from hypothesis import settings

settings.register_profile("attometer", deadline=None)
settings.load_profile("attometer")
