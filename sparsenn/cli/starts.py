"""How a network starts: connections chosen before training, by `--init`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparsenn.cli.errors import UsageError
from sparsenn.cli.output import one_line
from sparsenn.train.cost import weights

#: Starts that choose the connections themselves, and their options.
STARTS: dict[str, tuple[str, ...]] = {
    "magnitude": (),
    "snip": ("init_batches", "init_batch_size", "init_rounds"),
    "force": ("init_batches", "init_batch_size", "init_rounds"),
    "grasp": ("init_batches", "init_batch_size"),
    "synflow": ("init_rounds",),
}
#: What scored connections may weigh afterwards.
VALUES = ("keep", "rescale", "redraw")
_BATCH_SIZE = 128
_PER_CLASS = 10  # samples that GraSP looks at
_TOKENS = 1024  # of a text, in whole windows


def choose(
    model: Any,
    settings: dict[str, Any],
    data: Any,
    density: float,
    dense: list[int],
    *,
    quiet: bool = True,
) -> dict[str, Any]:
    """Prunes a network that has every connection, before its first step.

    Parameters
    ----------
    model : Module
        Virtual or full.
    settings : dict
        Of the run.
    data : Dataset
        Scores look at the training part alone, scaled as in training.
    density : float
        To prune to.
    dense : list of int
        Layers that keep every connection.
    quiet : bool
        Say nothing on standard error.

    Returns
    -------
    dict
        ``seconds``, ``rounds`` and ``warnings``, JSON-able.
    """
    from sparsenn import pruning
    from sparsenn.train.evaluate import cross_entropy

    name = settings["init"]
    began = time.perf_counter()
    common: dict[str, Any] = {"keep_dense": dense, "seed": settings["seed"]}
    if settings["init_values"] in VALUES:
        common["values"] = settings["init_values"]
    if settings["init_control"] == "invert":
        common["invert"] = True
    if settings["init_rounds"] is not None and "init_rounds" in STARTS[name]:
        common["rounds"] = settings["init_rounds"]
    method = getattr(pruning, name)
    if "init_batches" in STARTS[name]:
        batches = list(_batches(model, settings, data))
        result = method(model, cross_entropy, batches, density, **common)
    elif name == "synflow":
        with _bar(quiet) as bar:
            result = method(model, density, progress=bar, **common)
    else:
        result = method(model, density, **common)
    seconds = time.perf_counter() - began
    if not quiet:
        text = f"{name} chose {result.after:,} connections in {seconds:.1f} s"
        print(text, file=sys.stderr, flush=True)
    return {
        "seconds": seconds,
        "rounds": result.rounds,
        "warnings": list(result.warnings),
    }


@contextlib.contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar over the rounds on a terminal with tqdm, else None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    with tqdm(desc="rounds", file=sys.stderr, leave=False) as bar:

        def progress(left: int, wanted: int) -> None:
            bar.set_postfix_str(f"{left:,} of {wanted:,} connections wanted")
            bar.update(1)

        yield progress


def settle(model: Any, settings: dict[str, Any], data: Any, dense: list[int]) -> None:
    """Applies ``--init-control`` and ``--init-values`` to a network that has begun.

    Raises
    ------
    UsageError
        If the first layer does not take features, or connections do not fit where the
        control may put them.
    """
    from sparsenn import pruning

    seed = settings["seed"]
    control = settings["init_control"]
    if control in ("shuffle", "shuffle-inputs"):
        columns: dict[int | str, Any] | None = None
        if control == "shuffle-inputs":
            columns = _varying_columns(model, data)
        try:
            pruning.shuffle(model, seed, columns=columns, keep_dense=dense)
        except ValueError as error:
            raise UsageError(f"--init-control {control}: {one_line(error)}") from error
    if settings["init_values"] == "isometry":
        found = weights(model)
        for number, weight in enumerate(found):
            others = [i for i in range(len(found)) if i != number]
            gain = getattr(weight.initializer, "gain", 1.0)
            pruning.isometry(model, gain=gain, exempt=others)


def _varying_columns(model: Any, data: Any) -> dict[int | str, Any]:
    """Inputs that are not constant, of each weight that sees them."""
    from sparsenn import pruning

    if data.is_text or weights(model)[0].kernel:
        given = "a text" if data.is_text else "a convolution of images"
        raise UsageError(
            "--init-control shuffle-inputs is for rows and sequences of features, got "
            f"{given}; use shuffle"
        )
    # A recurrent layer has a weight of its input for each direction.
    names = [name for name, _ in model.named_parameters() if "weight_ih_l0" in name]
    return dict.fromkeys(names or ["first"], pruning.varying_inputs(data.x_train))


def _batches(
    model: Any, settings: dict[str, Any], data: Any
) -> Iterator[tuple[Any, np.ndarray]]:
    """Batches that scores look at; GraSP's have as many samples of every class."""
    from sparsenn.data import Scaling
    from sparsenn.random import Purpose, Stream
    from sparsenn.train.feed import feed, model_dtype, split_validation

    x, y = data.x_train, data.y_train
    if settings["val_fraction"]:
        (x, y), _ = split_validation(x, y, settings["val_fraction"], settings["seed"])
    n_classes = int(data.n_classes)
    balanced = settings["init"] == "grasp" and not data.is_text
    default = _PER_CLASS * n_classes if balanced else _BATCH_SIZE
    if data.is_text:
        default = max(_TOKENS // data.n_features, 1)
    size = settings["init_batch_size"] or default
    count = settings["init_batches"] or 1
    order = Stream(settings["seed"], Purpose.START).permutation(int(x.shape[0]))
    if balanced:
        order = _balanced(order, np.asarray(y), n_classes)
    order = order[: size * count]
    scaling = None if data.is_text else Scaling.fit(x, settings["scale"])
    return feed(x[order], y[order], size, scaling=scaling, dtype=model_dtype(model))


def _balanced(order: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Samples in turns of one of each class, as long as a class has any."""
    turn = np.empty(order.size, np.int64)
    for label in range(n_classes):
        places = np.flatnonzero(y[order] == label)
        turn[places] = np.arange(places.size)
    return order[np.lexsort((y[order], turn))]
