"""Where the program begins and ends; most ticks find nothing to do, so this is much of what they cost."""

import gc

# A start makes many objects and no garbage: with Python's own threshold a seventh of it goes into looking.
gc.set_threshold(100_000)

import atexit  # noqa: E402
import contextlib  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402

# Where this is installed, msgspec takes from it what Python has itself: twice the time of its own import.
sys.modules.setdefault("typing_extensions", None)  # type: ignore[arg-type]
import msgspec  # noqa: E402, F401

if sys.modules["typing_extensions"] is None:
    del sys.modules["typing_extensions"]

from sprint import deferred  # noqa: E402

# It imports importlib.metadata, a third of all that urllib3 takes, for an HTTP/2 that nobody asks for here.
deferred.defer("urllib3.http2")

from sprint.cli import main  # noqa: E402


def run() -> int:
    """The whole program; returns its exit code, or ends at once.

    Python takes apart all that it has made, which takes as long as a request. That is for those who are still
    waited for then, as an event that was taken while a server is told to stop. What is to be gone with the
    process, folders for temporary files among it, goes before.
    """
    code = main()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        return code
    for number in (signal.SIGINT, signal.SIGTERM):  # it is ending
        signal.signal(number, signal.SIG_IGN)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    raise SystemExit(run())
