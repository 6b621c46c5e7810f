"""``python -m unrolled_site.language``: see ``--help``."""

import os
import sys

from unrolled_site.language.command import main

if __name__ == "__main__":
    try:
        status: str | int | None = main()
    except SystemExit as ended:  # for the help, or an argument that cannot be read
        status = ended.code
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # else the interpreter tries once more, and complains with a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = status or 1
    sys.exit(status)
