"""`python -m DeepSegmentLib` is the command `deepsegment`."""

import sys

from DeepSegmentLib.hosts.command.main import main

if __name__ == "__main__":
    sys.exit(main())
