"""One target under atheris: `python -m tests.fuzz.under_atheris TARGET`, then arguments of libFuzzer. Never returns.

`tests.fuzz.run` is the command for people.
"""

from __future__ import annotations

import logging
import sys

import atheris

from tests.fuzz.targets import TARGETS


def main() -> None:
    target = TARGETS[sys.argv[1]]
    logging.disable(logging.CRITICAL)  # python-can warns of every line it does not understand
    with atheris.instrument_imports(include=list(target.watched)):
        run = target.run
    atheris.Setup([sys.argv[0], *sys.argv[2:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
