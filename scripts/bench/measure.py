"""Run one command and write what it took: seconds, processor seconds, peak memory.

    python measure.py figures.json tokxfer transplant …

The system counts the memory of the program that started a process as that process's own peak, so
a large program cannot measure a small one: this starter holds next to nothing. The command writes
where this script would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    figures, *command = sys.argv[1:]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    document = {
        "wall_seconds": time.perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "status": os.waitstatus_to_exitcode(status),
    }
    Path(figures).write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main()
