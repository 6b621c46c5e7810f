"""``python -m unrolled_site.language``: see ``--help``."""

import sys

from unrolled_site.language.command import main

if __name__ == "__main__":
    sys.exit(main())
