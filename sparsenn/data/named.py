"""Data sets that are known by a name: where their files are and how they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparsenn.data.cifar import read_cifar_binary, read_cifar_jpeg
from sparsenn.data.errors import DataError
from sparsenn.data.idx import read_idx_directory
from sparsenn.data.npz import read_npz
from sparsenn.data.parts import Parts
from sparsenn.data.streams import reading
from sparsenn.data.ts import read_ts_folder

__all__ = ["NAMED", "TEXTS", "folder_of", "read_named"]

#: The environment variable that names the folder of data sets.
VARIABLE = "SPARSENN_DATA"


@dataclass(frozen=True)
class Files:
    """Files of a data set.

    Attributes
    ----------
    folder : str
        Below `$SPARSENN_DATA`.
    files : dict of str to str
        File name to SHA-256.
    urls : tuple of str
        Where each file may be downloaded, the file name to be added; empty if nowhere.
    """

    folder: str
    files: dict[str, str]
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Named(Files):
    """Files of samples and labels, and the reader of their folder.

    Attributes
    ----------
    read : callable
        Takes the folder.
    """

    read: Callable[[Path], Parts]


def _idx(hashes: tuple[str, str, str, str]) -> dict[str, str]:
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    return dict(zip(names, hashes, strict=True))


NAMED = {
    # Y. LeCun, C. Cortes, C. Burges; two mirrors of the original files.
    "mnist": Named(
        "mnist",
        _idx(
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            )
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        read_idx_directory,
    ),
    # H. Xiao, K. Rasul, R. Vollgraf (2017), arXiv:1708.07747; MIT licence.
    "fashion-mnist": Named(
        "fashion-mnist",
        _idx(
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            )
        ),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        read_idx_directory,
    ),
    # A. Krizhevsky (2009). The binary version: the others are pickles.
    "cifar10": Named(
        "cifar10",
        {
            "cifar-10-binary.tar.gz": (
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            )
        },
        ("https://www.cs.toronto.edu/~kriz/",),
        read_cifar_binary,
    ),
    # The same images in the same order, compressed with loss: report it as such.
    "cifar10-jpeg": Named(
        "cifar10",
        {
            "cifar10_jpeg_train.npz": (
                "5784ce1ad175ac5dc1574f7f207835de0096e24808562433253a0439e78f823b"
            ),
            "cifar10_jpeg_test.npz": (
                "d5e7402bc6636699a429bba8694ecaa517c90f053dede0ae835650dd9905f4d6"
            ),
        },
        (),
        read_cifar_jpeg,
    ),
    # M. Kudo, J. Toyama, M. Shimbo (1999): nine speakers, sequences of 7 to 29 steps;
    # UCI, CC BY 4.0. The files of the time-series archive, compressed.
    "japanese-vowels": Named(
        "sequence/JapaneseVowels",
        {
            "JapaneseVowels_TRAIN.ts.gz": (
                "db1a95abb817aaa4d3ab941ffc48107d1a4dbca63cf30c739b3a72de7c4e7091"
            ),
            "JapaneseVowels_TEST.ts.gz": (
                "b2defceea4a3b652e3807872472d2d333d9246c05fc0cc7bbbe9494d52c70366"
            ),
        },
        (),
        read_ts_folder,
    ),
}


# Read by `sparsenn.data.load_text`, not by a reader of samples and labels.
TEXTS = {
    # A. Karpathy's (2015) concatenation of plays, in the public domain.
    "tinyshakespeare": Files(
        "sequence",
        {
            "tinyshakespeare.txt": (
                "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
            )
        },
        (),
    ),
}


def read_named(name: str) -> Parts:
    """Read a data set by its name, downloading it if need be and it can be.

    Parameters
    ----------
    name : str
        `digits`, which is part of the package, or a key of `NAMED`: looked for in
        `$SPARSENN_DATA`, then downloaded (once) to the user's cache, if it has `urls`.
        Every file is verified by its SHA-256.

    Returns
    -------
    Parts

    Raises
    ------
    DataError
        If a file is neither there nor downloadable, or not the original.
    """
    if name == "digits":
        return read_npz(Path(__file__).with_name("digits.npz"))
    named = NAMED[name]
    return named.read(folder_of(name, named))


def folder_of(name: str, named: Files) -> Path:
    """The folder that has all files, verified; they are downloaded if need be."""
    local = _local_folder(named)
    if local is None:
        return _download(name, named)
    for file, sha256 in named.files.items():
        _verify(local / file, sha256)
    return local


def _local_folder(named: Files) -> Path | None:
    """The folder below $SPARSENN_DATA if it has all files."""
    root = os.environ.get(VARIABLE)
    if not root:
        return None
    folder = Path(os.path.expanduser(root)) / named.folder
    found = all((folder / file).is_file() for file in named.files)
    return folder if found else None


_verified: set[tuple[str, int, int]] = set()


def _verify(path: Path, sha256: str) -> None:
    """Compare a file's SHA-256, once in a process unless it was changed."""
    with reading(path):
        status = path.stat()
        key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
        if key in _verified:
            return
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise DataError(
            f"{path}: has SHA-256 {digest}, the original {sha256}. It is damaged or "
            "another version; replace or remove it"
        )
    _verified.add(key)


def _download(name: str, named: Files) -> Path:
    """Fetch what the cache does not have yet; the folder with all files."""
    where = f"the folder {named.folder}/ in ${VARIABLE}"
    if os.environ.get(VARIABLE):
        missing = f"{name}: {where} ({os.environ[VARIABLE]}) lacks "
    else:
        missing = f"{name}: ${VARIABLE} is not set; {where} may hold "
    missing += ", ".join(named.files)
    others = [
        key
        for key, other in NAMED.items()
        if key != name and other.folder == named.folder and _local_folder(other)
    ]
    if others:
        missing += f" (it holds {', '.join(others)}, which can be used instead)"
    if not named.urls:
        raise DataError(f"{missing}. This set cannot be downloaded")
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            f"{missing}. Put them there, or install the extra that downloads them: "
            "pip install 'sparsenn[datasets]'"
        ) from error
    folder = Path(pooch.os_cache("sparsenn")) / named.folder
    for file, sha256 in named.files.items():
        faults = []
        for url in named.urls:
            try:
                pooch.retrieve(url + file, f"sha256:{sha256}", file, folder)
                break
            except (OSError, ValueError) as error:
                faults.append(f"{url + file}: {error}")
        else:
            raise DataError(
                f"{missing}. The download failed: {'; '.join(faults)}. Check the "
                f"network, or put the files there and set ${VARIABLE}"
            )
    return folder
