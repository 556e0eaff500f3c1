"""Hypothesis profiles: HYPOTHESIS_PROFILE=dev, ci (the default) or nightly."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Limits of address space are set in processes of their own. glibc would reserve 64 MB
# for each thread that allocates; whether one does before the limit is a matter of luck.
os.environ.setdefault("MALLOC_ARENA_MAX", "1")
