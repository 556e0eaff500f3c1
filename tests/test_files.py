"""atomic_write: a name never shows a half-written file."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest

from sparsenn.files import atomic_write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_text(tmp_path):
    with atomic_write(tmp_path / "a") as file:
        file.write(b"\x00\xff")
    with atomic_write(str(tmp_path / "b"), "w") as file:
        file.write("β\n")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_bytes() == "β\n".encode()
    assert names(tmp_path) == ["a", "b"]


def test_name_appears_only_at_the_end(tmp_path):
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")
        file.flush()
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_old_file_survives_an_exception(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"new" * 100_000)
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_failing_sync_is_a_failed_write(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs RLIMIT_FSIZE")
def test_old_file_survives_a_full_disk(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    code = """
        import resource, signal, sys
        from sparsenn.files import atomic_write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            with atomic_write(sys.argv[1]) as file:
                for _ in range(100):
                    file.write(bytes(1000))
        except OSError as error:
            print("errno", error.errno)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.strip() == "errno 27", done.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions(tmp_path):
    path = tmp_path / "a"
    old = os.umask(0o027)
    try:
        with atomic_write(path) as file:
            file.write(b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    with atomic_write(path) as file:
        file.write(b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix", reason="symbolic links, devices")
def test_links_are_followed_and_devices_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"1"
    for path in ("/dev/null", tmp_path / "real"):
        with pytest.raises(ValueError, match="not a regular"), atomic_write(path):
            pass
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="mode is"), atomic_write(tmp_path, "a"):
        pass
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "missing" / "a"):
        pass
    assert names(tmp_path) == []
