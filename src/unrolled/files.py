"""Files that are there whole or not at all."""

import errno
import os
import stat
import uuid
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file as a whole: at no moment does its name stand for a part of it.

    The bytes go to a file in the same folder, under a name that nobody else has, which takes the
    name `path` once they are on the disk. Whoever reads `path` finds the old file or the new one,
    also if this process is killed, or if others write the same path at the same time: then one of
    them is the last.

    Parameters
    ----------
    path : str or os.PathLike
        Where to. A file that is there is replaced and its permissions stay; a symbolic link stays
        and the file that it leads to is replaced. A hard link goes on naming the old file.
    data : bytes
        What to write.

    Raises
    ------
    OSError
        If the file cannot be written, or if there is something else under that name, such as a
        folder; then what was there is as it was, and nothing lies beside it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "weights.npz"), b"all of it")
    ...     [(file.name, file.read_bytes()) for file in Path(folder).iterdir()]
    [('weights.npz', b'all of it')]
    """
    path = Path(os.path.realpath(path))
    mode = _mode(path)
    part = path.with_name(f".{uuid.uuid4().hex}.part")  # a name cannot move between disks
    try:
        with part.open("xb") as file:
            if mode is not None:
                os.chmod(part, mode)  # before there is anything to read
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else the new name may reach the disk before the bytes do
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int | None:
    """Give the permissions of the file that will be replaced; None if there is none."""
    if not path.parent.is_dir():  # said of the folder, not of the part
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(path.parent))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):  # a device must not give way to a file
        raise OSError(errno.EINVAL, "This is no file that can be replaced", str(path))
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return stat.S_IMODE(mode)
