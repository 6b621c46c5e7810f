"""Files that are there whole or not at all."""

import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one go: at no moment does its name stand for a part of it.

    The bytes go to a file beside it, ``<path>.part``, which takes the name once they are on the
    disk. Whoever reads `path` finds the old file or the new one, also if this process is killed.

    Parameters
    ----------
    path : str or os.PathLike
        Where to; what is there is replaced.
    data : bytes
        What to write.

    Raises
    ------
    OSError
        If the file cannot be written; then what was there is as it was, and nothing lies beside it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "weights.npz"), b"all of it")
    ...     [(file.name, file.read_bytes()) for file in Path(folder).iterdir()]
    [('weights.npz', b'all of it')]
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")  # beside it: a name cannot move between disks
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else the new name may reach the disk before the bytes do
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
