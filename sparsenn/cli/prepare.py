"""From settings to everything that `fit` takes, checked before anything is written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsenn.cli.config import Config, setting_of
from sparsenn.cli.errors import UsageError
from sparsenn.cli.options import BY_NAME
from sparsenn.cli.output import one_line
from sparsenn.cli.starts import STARTS, choose, settle


@dataclass
class Prepared:
    """What a run trains with.

    Attributes
    ----------
    arch : str
        The architecture with all of its sizes.
    data, model, optimizer, schedule, topology
        As `fit` takes them.
    scaling : Scaling or None
        Of the input, where it is not to be fitted by the settings.
    augment : Augmentation or None
        Of the training images.
    began : dict or None
        What `starts.choose` told, if connections were chosen just now.
    warning : str
        What was asked for and does nothing on these data in so many steps, or "".
    """

    arch: str
    data: Any
    model: Any
    optimizer: Any
    schedule: Any
    topology: Any
    scaling: Any = None
    augment: Any = None
    began: dict[str, Any] | None = None
    warning: str = ""


def load_data(
    name: str, settings: dict[str, Any], classes: tuple[str, ...] | None = None
) -> Any:
    """The data set of a name or path; UsageError says what is wrong with it."""
    from sparsenn import data

    names = ("label", "labels", "context")
    given = {key: settings[key] for key in names if settings.get(key) is not None}
    try:
        return data.load(name, classes=classes, **given)
    except ImportError as error:
        raise UsageError(one_line(error)) from error
    except (ValueError, OSError) as error:
        raise UsageError(one_line(error)) from error


def absolute(data: str) -> str:
    """A path made absolute, so that a run finds its data from anywhere."""
    from sparsenn.data import names

    path = Path(data).expanduser()
    return os.path.abspath(path) if data not in names() and path.exists() else data


def keep_dense(names: list[str], n_layers: int) -> list[int]:
    """Numbers of the layers that ``first,last,2`` names."""
    numbers = []
    for name in names:
        if name in ("first", "last"):
            numbers.append(0 if name == "first" else n_layers - 1)
            continue
        try:
            number = int(name)
        except ValueError:
            number = n_layers
        if not -n_layers <= number < n_layers:
            raise UsageError(
                f"--keep-dense takes first, last or numbers from 0 to {n_layers - 1}, "
                f"got {name!r}"
            )
        numbers.append(number % n_layers)
    return sorted(set(numbers))


def prepare(config: Config, *, resuming: bool = False, quiet: bool = True) -> Prepared:
    """Loads the data and builds model, optimiser, schedule and topology.

    Parameters
    ----------
    config : Config
    resuming : bool
        A checkpoint will replace values and connections: none are chosen.
    quiet : bool
        Say nothing on standard error.

    Raises
    ------
    UsageError
        If anything that was asked cannot be done.
    """
    loaded = load_data(config.data, config.settings)
    try:
        check(config, loaded)
        return _build(config, loaded, resuming, quiet)
    except (ValueError, TypeError) as error:
        raise UsageError(one_line(error)) from error


def check(config: Config, data: Any) -> None:
    """Completes the architecture, and raises ValueError where data and it do not fit.

    Builds nothing, so that a sweep can check all of its cells at once.
    """
    from sparsenn import models
    from sparsenn.sparse import allocate

    settings = config.settings
    if settings["arch"] is None:
        sizes = f"{data.n_features}-300-100-{data.n_classes}"
        settings["arch"] = models.DEFAULT_ARCHITECTURES.get(data.kind, sizes)
    shapes = _axes(settings["arch"], data)
    dense = keep_dense(settings["keep_dense"], len(shapes))
    allocate(shapes, config.start_density, keep_dense=dense)
    augment = make_augmentation(settings["augment"])
    if augment is not None:
        augment.check(data.x_train)


def _axes(arch: str, data: Any) -> list[tuple[int, ...]]:
    from sparsenn import models

    sizes = data.n_features, data.n_classes
    return models.axes_of(arch, *sizes, image=data.image, kind=data.kind)


def make_augmentation(name: str) -> Any:
    """The augmentation of ``--augment``; None for no."""
    from sparsenn.data import Augmentation

    if name == "no":
        return None
    return Augmentation(
        flip=name in ("yes", "flip"), crop=4 if name in ("yes", "crop") else 0
    )


def _build(config: Config, data: Any, resuming: bool, quiet: bool) -> Prepared:
    from sparsenn import models, topology
    from sparsenn.sparse import SparseParameter
    from sparsenn.train.feed import validation_size

    settings = config.settings
    arch = settings["arch"]
    n = int(data.x_train.shape[0])
    n_train = n - validation_size(n, settings["val_fraction"])
    steps_per_epoch = -(-n_train // settings["batch_size"])
    total_steps = steps_per_epoch * settings["epochs"]
    dense = keep_dense(settings["keep_dense"], len(_axes(arch, data)))
    recipe = topology.METHODS[settings["method"]]
    # A resumed network gets its connections from the checkpoint; how many they are in
    # all is what the parts of a method are made for.
    chosen = settings["init"] in STARTS and not resuming
    model = models.build(
        arch,
        data.n_features,
        data.n_classes,
        None if chosen else config.start_density,
        image=data.image,
        kind=data.kind,
        init="erk" if settings["init"] in STARTS else settings["init"],
        keep_dense=dense,
        activation=settings["activation"],
        dropout=settings["dropout"],
        input_rms=_input_rms(data, settings["scale"]),
        sparse_input=data.is_sparse,
        seed=settings["seed"],
        dtype=np.dtype(settings["dtype"]),
    )
    began = None
    if chosen:
        began = choose(model, settings, data, config.start_density, dense, quiet=quiet)
    if not resuming:
        settle(model, settings, data, dense)
    optimizer = make_optimizer(settings, model)
    of_recipe = () if recipe is None else recipe.options
    weights = [p for p in model.parameters() if isinstance(p, SparseParameter)]
    updater = topology.make(
        settings["method"],
        model.parameters(),
        optimizer,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        density=settings["density"],
        exempt=[weights[number] for number in dense],
        seed=settings["seed"],
        **{name: settings.get(setting_of(name)) for name in of_recipe},
    )
    schedule = make_schedule(settings["schedule"], settings["lr"], total_steps)
    return Prepared(
        arch,
        data,
        model,
        optimizer,
        schedule,
        updater,
        augment=make_augmentation(settings["augment"]),
        began=began,
        warning="; ".join(_idle(settings, data, updater, total_steps)),
    )


def _idle(settings: dict[str, Any], data: Any, updater: Any, steps: int) -> list[str]:
    """Settings without effect, a text each."""
    told = []
    if data.is_text and settings["scale"] != BY_NAME["scale"].default:
        scale = settings["scale"]
        told.append(f"text has nothing to scale; --scale {scale} is ignored")
    if updater is not None and all(updater.schedule(n) is None for n in range(steps)):
        told.append(
            f"no update of the topology falls into these {steps} steps, so that the "
            "connections stay as they are; make --update-every shorter"
        )
    return told


def _input_rms(data: Any, scale: Any) -> float:
    """Root mean square of a scaled input; 1 for sparse or all-zero data and text."""
    from sparsenn.data import Scaling

    if data.is_sparse or data.is_text:
        return 1.0
    return Scaling.fit(data.x_train, scale).rms(data.x_train) or 1.0


def make_optimizer(settings: dict[str, Any], model: Any) -> Any:
    """The optimiser of ``--optimizer``."""
    from sparsenn import optim

    parameters = model.parameters()
    common = {"lr": settings["lr"], "weight_decay": settings["weight_decay"]}
    if settings["optimizer"] == "sgd":
        return optim.SGD(
            parameters,
            momentum=settings["momentum"],
            lazy=settings["lazy"] == "yes",
            **common,
        )
    if settings["optimizer"] == "adam":
        return optim.Adam(parameters, **common)
    return optim.AdamW(parameters, **common)


def make_schedule(name: str, lr: float, total_steps: int) -> Any:
    """The schedule of ``--schedule`` over a run."""
    from sparsenn import optim

    if name == "cosine":
        return optim.Cosine(lr, total_steps)
    if name == "linear":
        return optim.Linear(lr, total_steps)
    if name == "step":
        return optim.Step(lr, (total_steps // 2, total_steps * 3 // 4))
    return optim.Constant(lr)
