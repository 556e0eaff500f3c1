"""Control of the threads inside NumPy's BLAS.

The bits of a product depend on how BLAS shares the work among its threads, so products
run BLAS on one thread and share out fixed tiles themselves. The library is found among
those that the process has loaded; where it cannot be, everything still works and
`describe` says that its threads are its own affair.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, final

import numpy as np

__all__ = ["describe", "one_thread", "one_thread_here"]


class _Control(NamedTuple):
    """One way to read and set a number of threads."""

    name: str
    path: str
    get: Callable[[], int]
    set: Callable[[int], Any]
    per_thread: bool  # the number belongs to the calling thread, not to the process


# Name, what reads, what sets, and whether the number belongs to the calling thread.
_SYMBOLS = (
    ("OpenBLAS", "{}openblas_get_num_threads{}", "{}openblas_set_num_threads{}", False),
    ("MKL", "MKL_Get_Max_Threads", "MKL_Set_Num_Threads_Local", True),
    ("BLIS", "bli_thread_get_num_threads", "bli_thread_set_num_threads", True),
)
_PREFIXES = ("scipy_", "")
_SUFFIXES = ("64_", "_64", "")


def _loaded_linux() -> list[str]:
    class Info(ctypes.Structure):
        _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))

    found: list[str] = []

    @ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p
    )
    def visit(info: Any, size: int, data: Any) -> int:
        name = info.contents.name
        if name:
            found.append(os.fsdecode(name))
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(visit, None)
    return found


def _loaded_macos() -> list[str]:
    library = ctypes.CDLL(None)
    name = library._dyld_get_image_name
    name.restype = ctypes.c_char_p
    return [os.fsdecode(name(i)) for i in range(library._dyld_image_count())]


def _candidates() -> list[str]:
    """Loaded libraries that may be a BLAS; NumPy's own copy alone if it has one."""
    try:
        if sys.platform == "linux":
            paths = _loaded_linux()
        elif sys.platform == "darwin":
            paths = _loaded_macos()
        else:
            return []
    except (AttributeError, OSError):
        return []
    words = ("openblas", "mkl_rt", "blis", "libblas", "libcblas")
    paths = [p for p in paths if any(w in os.path.basename(p).lower() for w in words)]
    near = os.path.dirname(os.path.dirname(np.__file__))
    ours = [p for p in paths if p.startswith((f"{near}/numpy", f"{near}{os.sep}numpy"))]
    return ours or paths


def _open(path: str) -> _Control | None:
    """Control of the library at `path`, which is loaded already."""
    try:
        library = ctypes.CDLL(path, mode=getattr(os, "RTLD_NOLOAD", 0))
    except OSError:
        return None
    for name, getter, setter, per_thread in _SYMBOLS:
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                get = getattr(library, getter.format(prefix, suffix), None)
                put = getattr(library, setter.format(prefix, suffix), None)
                if get is None or put is None:
                    continue
                get.restype = ctypes.c_int
                put.argtypes = [ctypes.c_int]
                parallel = getattr(
                    library, f"{prefix}openblas_get_parallel{suffix}", None
                )
                # Built with OpenMP, OpenBLAS keeps the number as OpenMP does.
                openmp = parallel is not None and parallel() == 2
                return _Control(name, path, get, put, per_thread or openmp)
    return None


def _find_threadpoolctl() -> list[_Control]:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    found = []
    for lib in ThreadpoolController().select(user_api="blas").lib_controllers:
        found.append(
            _Control(
                lib.internal_api,
                lib.filepath,
                lib.get_num_threads,
                lib.set_num_threads,
                lib.internal_api == "mkl",
            )
        )
    return found


class _State:
    """What was found, and how many callers want one thread now."""

    def __init__(self) -> None:
        self.controls: list[_Control] | None = None
        self.shared: list[_Control] = []
        self.local: list[_Control] = []
        self.lock = threading.Lock()
        self.depth = 0
        self.former: list[int] = []

    def find(self) -> list[_Control]:
        np.dot(np.ones(1), np.ones(1))  # make sure that BLAS is loaded
        found = [c for c in map(_open, _candidates()) if c is not None]
        found = found or _find_threadpoolctl()
        self.shared = [c for c in found if not c.per_thread]
        self.local = [c for c in found if c.per_thread]
        self.controls = found
        return found


_state = _State()


def _after_fork() -> None:
    # The child has the number of threads that was set when it was made.
    if _state.depth:
        _restore(_state.shared, _state.former)
    _state.lock = threading.Lock()
    _state.depth = 0
    _state.former = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@final
class one_thread:
    """Context manager: BLAS called by this thread uses no threads of its own.

    May be nested and entered by several threads at a time; the last one to leave
    puts the former number back.
    """

    __slots__ = ("_former",)

    def __enter__(self) -> None:
        state = _state
        if state.controls is None:
            state.find()
        with state.lock:
            if state.depth == 0:
                state.former = [_reduce(c) for c in state.shared]
            state.depth += 1
        if state.local:
            self._former = [_reduce(c) for c in state.local]

    def __exit__(self, *exc: Any) -> None:
        state = _state
        with state.lock:
            state.depth -= 1
            if state.depth == 0:
                _restore(state.shared, state.former)
        if state.local:
            _restore(state.local, self._former)


def _reduce(control: _Control) -> int:
    n = control.get()
    if n != 1:
        control.set(1)
    return n


def _restore(controls: list[_Control], former: list[int]) -> None:
    for control, n in zip(controls, former, strict=True):
        if n != 1:
            control.set(n)


def one_thread_here() -> None:
    """Make a thread of ours use one BLAS thread for good, where that is its own."""
    if _state.controls is None:
        _state.find()
    for control in _state.local:
        control.set(1)


def describe() -> list[dict[str, Any]]:
    """Say which BLAS libraries were found and how many threads they are set to.

    Returns
    -------
    list of dict
        ``name``, ``path`` and ``num_threads`` of each library whose threads can be
        controlled; empty when there is none, and products then have the same bits
        for any number of threads only if the library sees to it itself.
    """
    controls = _state.find() if _state.controls is None else _state.controls
    return [
        {"name": c.name, "path": c.path, "num_threads": int(c.get())} for c in controls
    ]
