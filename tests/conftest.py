"""One Hypothesis profile for every test: no deadline, since a busy machine is not a fault. Triton, where it is, interprets."""

import os

from hypothesis import settings

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported, which torch may do first
settings.register_profile("attometer", deadline=None)
settings.load_profile("attometer")
