"""Start the worker process; only its owner does so, see `client`."""

import sys

from .server import main

sys.exit(main(sys.argv[1:]))
