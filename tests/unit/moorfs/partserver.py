"""A moorfs that copies objects of more than 5 MiB in parts, so that files of a test are big enough."""

import os
import sys

from moorfs import copies
from moorfs.__main__ import main

COMMAND = (sys.executable, __file__)

if __name__ == "__main__":
    copies.WHOLE = 5 << 20
    code = main()
    sys.stderr.flush()
    os._exit(code)
