"""`python -m larq_bcd.commands` is `larq-bcd`."""

import sys

from larq_bcd.commands.main import larq_bcd

if __name__ == "__main__":
    sys.exit(larq_bcd())
