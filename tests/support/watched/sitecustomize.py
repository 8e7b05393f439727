"""Python imports this at its start where PYTHONPATH begins with this folder: so separate agents are watched.

Every program of a test inherits that path; only an agent that is to run is looked at, the others lose no time.
"""

from __future__ import annotations

import os
import sys

if "run" in sys.orig_argv and "CONTRACT_FINDINGS" in os.environ:
    from tests.support import contract

    contract.watch(contract.findings_file())
