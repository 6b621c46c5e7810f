"""A file is the old one or the new one, whole."""

import os
from pathlib import Path

import pytest

from unrolled.files import write_whole


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    (tmp_path / "weights.npz.part").write_bytes(b"left by a process that was killed, and longer")
    for data in (b"old", b"", b"new" * 100_000):
        write_whole(os.fspath(path), data)
        assert path.read_bytes() == data
        assert os.listdir(tmp_path) == ["weights.npz"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.npz"
    write_whole(path, b"old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.npz"]
