"""Write files whole or not at all."""

import errno
import os
import stat
import uuid
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: at no time does its name refer to an incomplete file.

    The bytes go to a file in the same folder under a unique name, which is renamed to `path` once
    they are on the disk. Anyone who reads `path` finds either the old file or the new one, even if
    this process is killed or others write to the same path at the same time; in that case the last
    one wins.

    Parameters
    ----------
    path : str or os.PathLike
        Where to write. An existing file is replaced and keeps its permissions. A symbolic link
        stays, and the file that it points to is replaced. A hard link keeps pointing to the old
        file.
    data : bytes
        What to write.

    Raises
    ------
    OSError
        If the file cannot be written, or if the name belongs to something else, such as a folder.
        Whatever was there is then unchanged, and no temporary file is left behind.

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
    part = path.with_name(f".{uuid.uuid4().hex}.part")  # a rename cannot cross disks
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
    """Return the permissions of the file that will be replaced; None if there is none."""
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
