"""The command `larq-bcd`, for `python -m larq_bcd.cli`; `larq_bcd_command` has it."""

import sys

from larq_bcd_command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
