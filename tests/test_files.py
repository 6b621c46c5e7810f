"""A file is the old one or the new one, whole, whoever else writes it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unrolled.files import write_whole


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    for data in (b"old", b"", b"new" * 100_000):
        write_whole(os.fspath(path), data)
        assert path.read_bytes() == data
        assert os.listdir(tmp_path) == ["weights.npz"]


def test_files_of_others_stay(tmp_path: Path) -> None:
    theirs = tmp_path / "weights.npz.part"
    theirs.write_bytes(b"of somebody else")
    write_whole(tmp_path / "weights.npz", b"ours")
    assert theirs.read_bytes() == b"of somebody else"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_what_was_there(
    failing: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.npz"
    write_whole(path, b"old")

    def full(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(type(error)):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.npz"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions(umask: int, tmp_path: Path) -> None:
    """A new file gets what any new file gets; one that was there keeps what it had."""
    path, plain = tmp_path / "weights.npz", tmp_path / "plain"
    before = os.umask(umask)
    try:
        write_whole(path, b"new")
        plain.touch()
        assert path.stat().st_mode == plain.stat().st_mode
        path.chmod(0o640)
        write_whole(path, b"newer")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes() == b"newer"


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays(there: bool, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "weights.npz", tmp_path / "link.npz"
    if there:
        real.write_bytes(b"old")
    link.symlink_to(real)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "real"]
    assert os.listdir(real.parent) == ["weights.npz"]


def test_what_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder: '.*missing'"):
        write_whole(tmp_path / "missing" / "a.npz", b"new")
    with pytest.raises(OSError, match="no file that can be replaced"):
        write_whole(tmp_path, b"new")
    (tmp_path / "null").symlink_to(os.devnull)
    with pytest.raises(OSError, match="no file that can be replaced"):
        write_whole(tmp_path / "null", b"new")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic link"):
        write_whole(tmp_path / "loop", b"new")
    protected = tmp_path / "protected"
    protected.write_bytes(b"old")
    protected.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anybody but root
    with pytest.raises(PermissionError, match="protected"):
        write_whole(protected, b"new")
    assert protected.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["loop", "null", "protected"]


WRITER = """
import sys
from unrolled.files import write_whole

path, letter, size = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
for _ in range(60):
    write_whole(path, letter * size)
"""


def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    write_whole(path, b"c" * 1000)
    sizes = {b"a": 300_000, b"b": 100_000, b"c": 1000}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), letter, str(sizes[letter.encode()])]
        )
        for letter in "ab"
    ]
    seen = set()
    end = time.monotonic() + 60
    while any(writer.poll() is None for writer in writers) and time.monotonic() < end:
        data = path.read_bytes()
        assert data == data[:1] * sizes[data[:1]], "a mixture, or a part"
        seen.add(data[:1])
    assert [writer.wait() for writer in writers] == [0, 0]
    assert seen >= {b"a", b"b"}
    assert os.listdir(tmp_path) == ["weights.npz"]
