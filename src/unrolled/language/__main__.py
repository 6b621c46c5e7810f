"""``python -m unrolled.language``: see ``--help``."""

import sys

from unrolled.language.command import main

if __name__ == "__main__":
    sys.exit(main())
