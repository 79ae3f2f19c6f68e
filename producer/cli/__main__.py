"""Lets ``python -m producer.cli`` stand for the command ``stepline``."""

import sys

from producer.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
