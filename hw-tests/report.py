"""One file per run: what it ran on, and what each numbered test came to, for machines (JSON) and people (Markdown)."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agent import __version__

from bench_file import Bench, Channel

COUNTERS = ("rx_errors", "tx_errors", "rx_over_errors", "rx_fifo_errors", "rx_missed_errors")
"""Of /sys/class/net/…/statistics: each is a frame lost or garbled."""

OVERRUNS = ("rx_errors", "rx_over_errors", "rx_fifo_errors", "rx_missed_errors")
"""Those that grow where frames come faster than they are taken."""


@dataclass(frozen=True, slots=True)
class Result:
    """One test. `number` is its file's; `outcome`: passed, failed or skipped; `reason` of the last two."""

    number: int
    name: str
    outcome: str
    seconds: float
    reason: str = ""
    measured: dict[str, object] = field(default_factory=dict)


def board() -> str:
    """The machine in its maker's words."""
    for path in ("/proc/device-tree/model", "/sys/class/dmi/id/product_name"):
        try:
            if text := Path(path).read_text(errors="replace").strip("\0\n "):
                return text
        except OSError:
            continue
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "vendor_id")):
            return line.partition(":")[2].strip()
    return platform.machine()


def driver(channel: Channel) -> str:
    """Driver, and product if it is on USB, of a SocketCAN interface; the interface's kind for any other."""
    if channel.interface != "socketcan":
        return f"python-can {channel.interface}"
    device = Path("/sys/class/net", channel.channel, "device")
    if not device.exists():
        return str(link(channel.channel).get("linkinfo", {}).get("info_kind", "absent"))
    words = [(device / "driver").resolve().name]
    product = device.resolve().parent / "product"
    return " ".join([*words, *([product.read_text().strip()] if product.exists() else [])])


def link(interface: str) -> dict[str, dict[str, object]]:
    """What `ip` knows of an interface; empty if there is none."""
    command = ["ip", "-json", "-details", "-statistics", "link", "show", "dev", interface]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    found: list[dict[str, dict[str, object]]] = json.loads(done.stdout or "[]")
    return found[0] if found else {}


def losses(channel: Channel) -> dict[str, int]:
    """Counters of frames lost and of bus errors; empty where the interface has none."""
    folder = Path("/sys/class/net", channel.channel, "statistics")
    if channel.interface != "socketcan" or not folder.exists():
        return {}
    counted = {name: int((folder / name).read_text()) for name in COUNTERS}
    controller = link(channel.channel).get("linkinfo", {}).get("info_xstats")
    if isinstance(controller, dict):
        counted |= {name: int(controller[name]) for name in ("bus_error", "bus_off") if name in controller}
    return counted


def write(folder: Path, bench: Bench, results: list[Result]) -> list[Path]:
    """Write the report of a run under the name of its bench; the files written."""
    channels = {"agent": bench.agent} | ({"peer": bench.peer} if bench.peer else {})
    document: dict[str, object] = {
        "bench": bench.name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "board": board(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "bitrate_bps": bench.bitrate_bps,
        "channels": {
            name: {"channel": f"{each.interface} {each.channel}", "adapter": each.adapter, "driver": driver(each)}
            for name, each in channels.items()
        },
        "ports": bench.ports.model_dump(),
        "results": [asdict(result) for result in results],
    }
    folder.mkdir(parents=True, exist_ok=True)
    stem = "".join(each if each.isalnum() else "-" for each in bench.name.lower()).strip("-")
    as_json, as_text = folder / f"{stem}.json", folder / f"{stem}.md"
    as_json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    as_text.write_text(_text(document, results))
    return [as_json, as_text]


def _text(document: dict[str, object], results: list[Result]) -> str:
    head = [f"| {key} | {document[key]} |" for key in ("date", "version", "board", "kernel", "python", "bitrate_bps")]
    channels = document["channels"]
    assert isinstance(channels, dict)
    for name, each in channels.items():
        words = ", ".join(filter(None, (each["channel"], each["driver"], each["adapter"])))
        head.append(f"| {name} | {words} |")
    rows = [
        f"| {each.number} | {each.name} | {each.outcome} | {each.seconds:.1f} | {_detail(each)} |" for each in results
    ]
    return "\n".join(
        [
            f"# {document['bench']}\n",
            *("| | |", "|---|---|", *head, ""),
            *("| no. | test | result | s | measured, or why not |", "|--:|---|---|--:|---|", *rows, ""),
        ]
    )


def _detail(result: Result) -> str:
    measured = ", ".join(f"{name} {value}" for name, value in result.measured.items())
    lines = result.reason.strip().splitlines()
    return (measured or (lines[-1] if lines else "")).replace("|", "\\|")
