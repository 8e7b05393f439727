"""Python imports this at its start where PYTHONPATH begins with this folder: so separate agents are watched.

Every program of a test inherits that path; only an agent that is to run is looked at, the others lose no time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROGRAMS = ("carshare-agent", "carshare-bench")

is_agent = "run" in sys.orig_argv and any(word.endswith(PROGRAMS) for word in sys.orig_argv[:3])
is_agent = is_agent or "tests.benchmarks.car_day" in sys.orig_argv
if is_agent and "CONTRACT_FINDINGS" in os.environ:
    # Last, so that the agent under test is the one it would be without this.
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    from tests.support import contract

    contract.watch(contract.findings_file())
