"""Threads and instruction sets of the compiled core."""

from __future__ import annotations

import os
import platform

# An idle OpenMP thread spins before it sleeps, for milliseconds by default. Beside any
# other busy process it then burns the processor that the thread it waits for needs: a
# step of 3 ms was seen to take 60. The run time reads these variables once, while the
# core is loaded; what the user set stays, and children do not inherit ours. Half a
# millisecond outlasts what Python does between two products of a training step.
_SHORT_SPIN = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "0"}
_ours = {}
if "OMP_WAIT_POLICY" not in os.environ:
    _ours = {k: v for k, v in _SHORT_SPIN.items() if k not in os.environ}
os.environ.update(_ours)
try:
    from sparsenn import _core
finally:
    for _name in _ours:
        del os.environ[_name]

__all__ = ["describe", "get_num_threads", "set_isa", "set_num_threads", "show_config"]


def set_num_threads(n: int | None) -> None:
    """Set how many threads a product may use.

    Results do not depend on it. In a forked child it is always 1.

    Parameters
    ----------
    n : int or None
        At least 1; None restores the default: ``OMP_NUM_THREADS`` if set, else the
        processors this process may run on, bounded by its CPU quota.

    Raises
    ------
    ValueError
        If n is below 1.
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """Return how many threads the next product may use."""
    return _core.get_num_threads()


def set_isa(name: str) -> None:
    """Switch to the kernels of one instruction set, for tests and comparisons.

    The environment variable ``SPARSENN_ISA`` does the same from the start; the first
    product raises if it names another.

    Parameters
    ----------
    name : str
        One of the ``available_isas`` of `describe`, such as ``"x86_64_v3"``.

    Raises
    ------
    ValueError
        If the set is not compiled in or this processor cannot run it.
    """
    _core.set_isa(name)


def show_config() -> None:
    """Print what the compiled core runs on; see `describe`."""
    for name, value in describe().items():
        if isinstance(value, tuple):
            value = ", ".join(value) or "none found"
        print(f"{name:15} {value}")


def describe() -> dict[str, str | int | bool | tuple[str, ...]]:
    """Return what the compiled core runs on.

    Returns
    -------
    dict
        ``isa`` in use, ``available_isas`` best first, ``num_threads``, ``openmp``,
        ``blas``: the libraries whose threads we control, empty if none was found, and
        results with a full layer may then depend on its number of threads; ``machine``.
    """
    from sparsenn import blas

    return {
        "isa": _core.isa(),
        "available_isas": _core.available_isas(),
        "num_threads": _core.get_num_threads(),
        "openmp": _core.has_openmp(),
        "blas": tuple(library["name"] for library in blas.describe()),
        "machine": platform.machine(),
    }


# The OpenMP threads of the parent do not exist in a forked child, which would wait for
# them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.after_fork_in_child)
