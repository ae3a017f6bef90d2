"""Runs a command and writes to a descriptor what it took: `DESCRIPTOR COMMAND...`. A program by itself.

A process counts to its own peak of memory what the one had that started it: this one has little.
"""

from __future__ import annotations

import json
import os
import sys
import time

told, *argv = sys.argv[1:]
os.set_inheritable(int(told), False)
started = time.perf_counter()
child = os.posix_spawnp(argv[0], argv, os.environ)
_, status, used = os.wait4(child, 0)
wall = time.perf_counter() - started
cost = {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}
os.write(int(told), json.dumps({"code": os.waitstatus_to_exitcode(status), **cost}).encode())
