"""What a runner has done on a sprite: one errand, one dialogue, and each may be run again.

    python3 -I - ERRAND JSON <errands.py

Standard-library Python 3.10+ and nothing of sprint. It comes by stdin each time, so that nothing that an
agent left on the sprite is ever run in its place. The working directory is the sprite's home, where

    .sprint/runs/ID/       ours: parts of the bundle that came, index, launch-N.*, result.bundle
    .sprint/mirrors/SLUG   the commits that runners have sent; no agent works there
    .sprint/rescued/ID     what an earlier run left and nobody had collected
    work/SLUG/             the run's own: repo, home, tmp, task; a sandbox is shown this and no more

and beside it, outside of what checkpoints hold, .sprint-reservation. What is below work/ is the agent's: it
is read without following links, and git there runs as `confine` says: words before a command, with `files`
(a descriptor's number to data in base64), `limits` (prlimit's names) of each process, and the `most` that all
together may have of memory and disk, in bytes, and of files. Prints one JSON object.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import fcntl
import hashlib
import hmac
import json
import os
import resource
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

RESERVATION = ".sprint-reservation"
MARK = "SPRINT_LAUNCH"  # in the environment of all that a launch begets
_OURS = Path(".sprint")
_MAKING_SECONDS = 60.0  # between the reservation's folder and what it says
_LOOK_SECONDS = 2.0
_LAST_WORDS_SECONDS = 3.0  # for a supervisor whose agent has ended
_RESCUED, _RUNS_KEPT = 5, 20
_LEAST_MB = 64  # below that what fails on the disk is the disk's fault
_STATE_CAP, _WORDS_CAP, _LOG_CAP = 1 << 20, 20_000, 4 << 20
_ALL_BRANCHES = "+refs/remotes/origin/*:refs/remotes/origin/*"
_ALL_HEADS = "+refs/heads/*:refs/remotes/origin/*"
_GIT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Fault(Exception):
    """What could not be done, in one line."""


def probe(args: Mapping[str, Any]) -> dict[str, Any]:
    """What is here of what the work needs: seen, not remembered."""
    git = _git("version").strip() if shutil.which("git") else ""
    return {
        "home": str(Path.cwd()),
        "python": list(sys.version_info[:2]),
        "git": git,
        "programs": {name: shutil.which(name) for name in args["programs"]},
        "free_mb": _free_mb(),
        "reservation": _reservation(_place()),
    }


def try_out(args: Mapping[str, Any]) -> dict[str, Any]:
    """Run `argv` as `confine` says, over a workspace below `root` that is made for it and gone afterwards."""
    if os.getuid() == 0:
        raise Fault("its user is root, whom no sandbox holds: give sprites a user of their own")
    program, root = args["confine"]["words"][0], Path(args["root"])
    if not shutil.which(program):
        raise Fault(f"there is no {program}: install bubblewrap")
    root.mkdir(mode=0o700)
    try:
        for name in ("repo", "home", "tmp"):
            (root / "work" / name).mkdir(parents=True)
        (root / "outside").touch()
        done = _confined(args["confine"], args["argv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = done.communicate(timeout=float(args["seconds"]))
        finally:
            done.kill()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return {"code": done.returncode, "out": _text(out[-2000:]), "err": _text(err[-2000:])}


def _free_mb() -> int:
    space = os.statvfs(".")
    return space.f_bavail * space.f_frsize >> 20


# --- whose turn it is


def reserve(args: Mapping[str, Any]) -> dict[str, Any]:
    """Make the sprite a run's own for `seconds` by the sprite's own time; {"held": false, ...} where another
    run has it. One whose time is over is put away under the name of the run that does so."""
    place, run = _place(), str(args["run"])
    with _locked(place.with_name(f"{RESERVATION}.lock")):
        found = _reservation(place)
        if found and found["run"] != run:
            if found["seconds_left"] > 0:
                return {"held": False, **found}
            place.rename(place.with_name(f"{RESERVATION}.{run}"))
            shutil.rmtree(place.with_name(f"{RESERVATION}.{run}"), ignore_errors=True)
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        about = {"run": run, "runner": args["runner"], **_until(float(args["seconds"]))}
        _write(place / "about.json", json.dumps(about))
    return {"held": True}


def free(args: Mapping[str, Any]) -> dict[str, Any]:
    """Give the sprite back, where it is that run's."""
    place = _place()
    with _locked(place.with_name(f"{RESERVATION}.lock")):
        found = _reservation(place)
        if found and found["run"] == args["run"]:
            shutil.rmtree(place)
    return {}


def _place() -> Path:
    """Outside of home, which is what checkpoints hold; in it where nothing may be made outside."""
    above = Path.cwd().parent
    return (above if os.access(above, os.W_OK) else Path.cwd()) / RESERVATION


def _reservation(place: Path) -> dict[str, Any] | None:
    try:
        made = place.stat().st_mtime
    except FileNotFoundError:
        return None
    about = _loaded(place / "about.json")
    left = _left(about) if about else made + _MAKING_SECONDS - time.time()
    return {"run": str(about.get("run", "")), "runner": str(about.get("runner", "")), "seconds_left": left}


def _until(seconds: float) -> dict[str, Any]:
    """A moment from now, by the clock, and by the time since the machine was started: clocks are set."""
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    return {"until": time.time() + seconds, "until_up": up + seconds, "boot": _boot()}


def _left(about: Mapping[str, Any]) -> float:
    """Seconds until such a moment. Raises nothing, whatever stands there."""
    same_boot = about.get("boot") == _boot() and isinstance(about.get("until_up"), int | float)
    if same_boot:
        return float(about["until_up"]) - time.clock_gettime(time.CLOCK_BOOTTIME)
    until = about.get("until")
    return float(until) - time.time() if isinstance(until, int | float) else 0.0


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


# --- the repository comes


def have(args: Mapping[str, Any]) -> dict[str, Any]:
    """The newest commits that came with earlier runs, and whether this run's has been unpacked."""
    mirror = _mirror(args)
    listed = ""
    if mirror.is_dir():
        query = ["for-each-ref", "--sort=-creatordate", "--count=100", "--format=%(objectname)"]
        listed = _git("--git-dir", str(mirror), *query, "refs/sprint", "refs/remotes")
    return {
        "commits": list(dict.fromkeys(listed.split())),
        "unpacked": (_run_folder(args) / "unpacked").exists(),
    }


def unpack(args: Mapping[str, Any]) -> dict[str, Any]:
    """The run's own checkout, at exactly the base commit. What an earlier run left is put aside first."""
    folder, mirror, base = _run_folder(args), _mirror(args), str(args["base"])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "unpacked").exists():
        return {}
    if not (mirror / "HEAD").exists():
        shutil.rmtree(mirror, ignore_errors=True)
        mirror.parent.mkdir(parents=True, exist_ok=True)
        _git("init", "-q", "--bare", "--template=", str(mirror))
    if args["parts"]:
        whole = folder / "base.bundle"
        with whole.open("wb") as file:
            for number in range(int(args["parts"])):
                with (folder / f"part-{number:04}").open("rb") as part:
                    shutil.copyfileobj(part, file)
        wanted = [_ALL_BRANCHES]
        if not _are_there(mirror, [base]):  # else the bundle may be without it
            wanted.append("+refs/sprint/base:refs/sprint/base")
        _git("--git-dir", str(mirror), "fetch", "-q", "--no-tags", str(whole), *wanted)
    if "branches" in args:
        _set_branches(mirror, args["branches"])
    if args.get("remote"):
        _fetch_with_token(mirror, args["remote"], base)
    _git("--git-dir", str(mirror), "update-ref", f"refs/sprint/{args['run']}", base)
    _set_aside(_work(args))
    _check_out(args, mirror, folder)
    for left in (*folder.glob("part-*"), folder / "base.bundle"):
        left.unlink(missing_ok=True)
    for old in sorted(folder.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-_RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    (folder / "unpacked").touch()
    return {}


def _are_there(mirror: Path, commits: Collection[str]) -> set[str]:
    asked = "".join(f"{one}\n" for one in commits)
    said = _git("--git-dir", str(mirror), "cat-file", "--batch-check", stdin=asked).splitlines()
    return {line.split()[0] for line in said if line.split()[1:2] == ["commit"]}


def _set_branches(mirror: Path, tips: Mapping[str, str]) -> None:
    """These, and no others; some of their commits may have come with earlier runs."""
    there = _are_there(mirror, tips.values())
    wanted = {f"refs/remotes/origin/{name}": tip for name, tip in tips.items() if tip in there}
    known = _git("--git-dir", str(mirror), "for-each-ref", "--format=%(refname)", "refs/remotes").split()
    gone = [f"delete {ref}\n" for ref in known if ref not in wanted]
    news = [f"update {ref} {tip}\n" for ref, tip in wanted.items()]
    for changes in (gone, news):  # of a and a/b there may be one at a time
        _git("--git-dir", str(mirror), "update-ref", "--stdin", stdin="".join(changes))


def _fetch_with_token(mirror: Path, remote: Mapping[str, str], base: str) -> None:
    """What the branch has there now; git asks for the token, and gets it out of its file."""
    file = shlex.quote(str(Path(remote["token_file"]).absolute()))
    says = f'!f() {{ [ "$1" != get ] || {{ echo username=sprint; echo "password=$(cat {file})"; }}; }}; f'
    own = ["-c", "http.followRedirects=false", "-c", "credential.helper="]  # the token is for no other host
    own += ["-c", f"credential.helper={says}", "--git-dir", str(mirror)]
    branch = f"+refs/heads/{remote['branch']}:refs/sprint/base"
    _git(*own, "fetch", "-q", "--no-tags", "--prune", remote["url"], branch, _ALL_HEADS)
    try:
        _git("--git-dir", str(mirror), "cat-file", "-e", f"{base}^{{commit}}")
    except Fault:  # the branch was moved back meanwhile
        _git(*own, "fetch", "-q", "--no-tags", remote["url"], base)


def _set_aside(work: Path) -> None:
    """Nothing that was not collected is lost: it is kept under the name of its run."""
    if not work.exists():
        return
    owner = _text(_read_below(work, "task", "run")).strip()
    if owner and (_OURS / "runs" / Path(owner).name / "collected").exists():
        shutil.rmtree(work)
        return
    rescued = _OURS / "rescued"
    rescued.mkdir(parents=True, exist_ok=True, mode=0o700)
    work.rename(rescued / f"{Path(owner).name or 'unknown'}.{time.time():.0f}")
    for old in sorted(rescued.iterdir(), key=lambda one: one.stat().st_mtime)[:-_RESCUED]:
        shutil.rmtree(old, ignore_errors=True)


def _check_out(args: Mapping[str, Any], mirror: Path, folder: Path) -> None:
    work, base, branch = _work(args), str(args["base"]), str(args["branch"])
    new = work.with_name(f".new-{work.name}")
    shutil.rmtree(new, ignore_errors=True)
    for name in ("repo", "home", "tmp", "task", "tmp/handover"):
        (new / name).mkdir(parents=True, mode=0o700)
    repo = str(new / "repo")
    _git("init", "-q", "--template=", repo)
    _git("-C", repo, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    ref = f"+refs/sprint/{args['run']}:refs/heads/{branch}"
    whence = str(mirror.absolute())
    _git("-C", repo, "fetch", "-q", "--no-tags", "--update-head-ok", whence, ref, _ALL_BRANCHES)
    main = str(args.get("main", ""))
    if main and not f"{branch}/".startswith(f"{main}/") and not main.startswith(f"{branch}/"):
        _git("-C", repo, "update-ref", f"refs/heads/{main}", base)
    _git("-C", repo, "reset", "-q", "--hard", base)
    if _git("-C", repo, "rev-parse", "HEAD").strip() != base:
        raise Fault(f"what came is not {base}")
    shutil.copy2(new / "repo/.git/index", folder / "index")
    _furnish(new / "home")
    _write(new / "task/run", str(args["run"]))
    if (uid := args.get("uid")) is not None:
        for name in ("repo", "home", "tmp"):
            _give(new / name, int(uid))
        os.chown(new, 0, int(uid))
        new.chmod(0o750)
        os.chown(new / "task", 0, int(uid))
        (new / "task").chmod(0o750)
    new.rename(work)
    Path(".bb").mkdir(exist_ok=True)
    _write(Path(".bb/workspace.json"), json.dumps({"path": str((work / "repo").absolute())}))


def _furnish(home: Path) -> None:
    """What a composition put into the sprite's home is the agent's, too: instructions, settings, hooks."""
    for name in _loaded(_OURS / "kit.json").get("files", []):
        source = Path(str(name))
        if source.is_file() and not source.is_absolute() and ".." not in source.parts:
            (home / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, home / source)


def _give(top: Path, uid: int) -> None:
    os.chown(top, uid, uid, follow_symlinks=False)
    for folder, folders, names in os.walk(top):
        for name in (*folders, *names):
            os.chown(Path(folder, name), uid, uid, follow_symlinks=False)


# --- the agent works


def launch(args: Mapping[str, Any]) -> dict[str, Any]:  # noqa: RET503 - what is forked does not return
    """Start `argv` in the checkout as launch `number`, out of reach of this dialogue's end, unless it was
    started before. Before that the files of `task` are copied for it, and those of `fresh` removed. It is
    ended after `seconds`. `callback` is an address that is told of its end, "" for none."""
    folder, number = _run_folder(args), int(args["number"])
    lock = os.open(folder / f"launch-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return {"began": False}
    if (folder / f"launch-{number}.json").exists():
        return {"began": False}
    work = _work(args)
    for names in args["fresh"]:
        _remove_below(work, *names)
    task = _opened_below(work, ("task",))
    for source, name in args["task"].items():
        _hand(task, name, Path(source).read_bytes(), args.get("uid"))
    os.close(task)
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        with os.fdopen(told, "rb") as answer:
            said = answer.read().decode("utf-8", "replace")
        if said != "ok":
            raise Fault(said or "it did not begin")
        return {"began": True}
    os.setsid()
    if os.fork():
        os._exit(0)
    _stand_by(folder, args, tell, lock)


def _stand_by(folder: Path, args: Mapping[str, Any], tell: int, lock: int) -> NoReturn:
    """The process that holds the launch's lock for as long as anything of it lives, and notes its end."""
    number = int(args["number"])
    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(folder / f"launch-{number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        mark = secrets.token_hex(16)
        about = {"pid": os.getpid(), "started": _started(os.getpid()), "mark": mark, "work": str(_work(args))}
        _write(folder / f"launch-{number}.json", json.dumps(about))  # first: it is never begun twice
        child = _child(args, mark, folder / f"launch-{number}.json")
        signal.signal(signal.SIGTERM, lambda _number, _frame: child.terminate())
        os.write(tell, b"ok")
        os.close(tell)
        code = _awaited(child, args)
        _end_below(os.getpid())
        _write(folder / f"ended-{number}.json", json.dumps({"code": code, "at": time.time()}))
        os.close(lock)
        if args["callback"]:
            _call_back(str(args["callback"]), str(args["run"]), folder / "callback.key", _state(_work(args)))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(tell, f"{error.filename or ''}: {error.strerror}".lstrip(": ").encode())
    finally:
        os._exit(0)


def _call_back(address: str, run: str, key: Path, state: Mapping[str, Any]) -> None:
    """Say that it has ended, from outside its sandbox; what came of it is collected. Nobody has to hear."""
    outcome = str(state.get("outcome") or "lost")[:100]
    said = {"type": "completed"} if outcome == "completed" else {"type": "error", "error": outcome}
    body, at = json.dumps({**said, "sessionId": run, "taskId": run}).encode(), str(int(time.time()))
    signature = hmac.new(key.read_bytes(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Webhook-Timestamp": at, "X-Webhook-Signature": f"sha256={signature}"}
    import urllib.request  # half of what an errand costs, and only this one asks anybody

    request = urllib.request.Request(address, body, headers)  # noqa: S310 - checked in the configuration
    with contextlib.suppress(OSError, ValueError):
        urllib.request.urlopen(request, timeout=15).close()  # noqa: S310


def _awaited(child: subprocess.Popen[bytes], args: Mapping[str, Any]) -> int:
    """Its exit code; not its own where its time is over, or all of it has more than it may: then the log says
    so. Looks for a twentieth of the time at most."""
    most, end = args["confine"].get("most", {}), time.monotonic() + float(args["seconds"])
    pause = _LOOK_SECONDS
    while True:
        left = max(end - time.monotonic(), 0.0)
        try:
            return child.wait(min(pause, left) if most else left)
        except subprocess.TimeoutExpired:
            began = time.monotonic()
            used = {"memory": _memory(), **_disk(_work(args))} if most else {}
            over = [name for name in most if used[name] > most[name]] + ["time"] * (began >= end)
            if over:
                print(f"ended by its limit: {over[0]}", file=sys.stderr, flush=True)
                return -signal.SIGKILL
            pause = max(_LOOK_SECONDS, 20 * (time.monotonic() - began))


def _memory() -> int:
    """What is not of files, of all below this process; what they share is counted once."""
    total = 0
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    total += int(line.split()[1]) << 10
    return total


def _disk(work: Path) -> dict[str, int]:
    size = count = 0
    for folder, folders, names in os.walk(work):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                size += Path(folder, name).lstat().st_blocks * 512
                count += 1
    return {"disk": size, "files": count}


def _child(args: Mapping[str, Any], mark: str, noted: Path) -> subprocess.Popen[bytes]:
    seen = {"PATH": os.environ["PATH"]} if args["confine"].get("files") else os.environ  # by what is inside
    try:
        return _confined(
            args["confine"],
            args["argv"],
            cwd=args["cwd"],
            env={**seen, MARK: mark},
            start_new_session=True,
        )
    except OSError:
        noted.unlink()
        raise


def _confined(confine: Mapping[str, Any], argv: Sequence[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a command as `confine` says; it ends with this process."""
    numbers = [_descriptor(int(number), data) for number, data in confine.get("files", {}).items()]
    limits = dict(confine.get("limits", {}))
    if "nproc" in limits:  # the kernel counts all that the user has
        limits["nproc"] += _threads()

    def prepare() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for name, value in limits.items():
            kind = getattr(resource, f"RLIMIT_{name.upper()}")
            _, hard = resource.getrlimit(kind)
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))

    try:
        return subprocess.Popen(
            [*confine["words"], *argv],
            **{"stdin": subprocess.DEVNULL, **more},
            pass_fds=numbers,
            preexec_fn=prepare,  # noqa: PLW1509 - there is one thread
        )
    finally:
        for number in numbers:
            os.close(number)


def _descriptor(number: int, data: str) -> int:
    """That descriptor, to be read from: a file without a name."""
    made = os.memfd_create("sprint")
    with os.fdopen(made, "wb", closefd=False) as file:
        file.write(base64.b64decode(data))
    os.lseek(made, 0, os.SEEK_SET)
    os.dup2(made, number)
    os.close(made)
    return number


def _threads() -> int:
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += sum(1 for _ in (entry / "task").iterdir())
    return count


def look(args: Mapping[str, Any]) -> dict[str, Any]:
    """How launch `number` is: by its lock, which the kernel frees, then by what was written."""
    folder, number = _run_folder(args), int(args["number"])
    launched = (folder / f"launch-{number}.json").exists()
    return {
        "launched": launched,
        "alive": _is_held(folder / f"launch-{number}.lock"),
        "ended": _loaded(folder / f"ended-{number}.json"),
        "state": _state(_work(args)),
    }


def stop(args: Mapping[str, Any]) -> dict[str, Any]:
    """End launch `number` with all that it started, and see that it has ended: within `grace` by its
    supervisor, which may be in a sandbox and then ends with that, else by force."""
    folder, number = _run_folder(args), int(args["number"])
    lock = folder / f"launch-{number}.lock"
    about = _loaded(folder / f"launch-{number}.json")
    if not _is_held(lock):
        _end_marked(args)
        return {"was_alive": False}
    pid = int(about.get("pid") or 0)
    if not pid or _started(pid) != about.get("started"):
        raise Fault("its process cannot be told from others")
    grace = float(args["grace"])
    supervisors = _supervisors(pid) if grace else []
    if supervisors and "work" in about:
        _hand_patience(Path(about["work"]), grace)
    for one in (*supervisors, *([] if supervisors else [pid])):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one, signal.SIGTERM)
    if not _freed(lock, grace + (_LAST_WORDS_SECONDS if supervisors else 0)):
        _end_below(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not _freed(lock, 10.0):
        raise Fault(f"process {pid} does not end")
    _end_marked(args)
    return {"was_alive": True}


def _supervisors(top: int) -> list[int]:
    """Those below `top`; the words before one in a sandbox hold the same ones further on."""
    found = []
    for pid in _descendants(top):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[1:2] and words[1].endswith(b"supervisor.pyz") and words[2:3] == [b"start"]:
                found.append(pid)
    return found


def _hand_patience(work: Path, grace: float) -> None:
    with contextlib.suppress(OSError):
        folder = _opened_below(work, ("repo", ".bb-agent"))
        try:
            _hand(
                folder, "supervisor.pid.stop", json.dumps({"grace": grace}).encode(), os.fstat(folder).st_uid
            )
        finally:
            os.close(folder)


def _freed(lock: Path, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while _is_held(lock):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def _end_below(top: int) -> None:
    """SIGKILL to all descendants, until there are none."""
    for _ in range(100):
        below = _descendants(top)
        if not below:
            return
        _kill(below)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.05)


def _end_marked(args: Mapping[str, Any]) -> None:
    """SIGKILL to all that a launch begot, whoever their parent is now, until there are none."""
    mark = _loaded(_run_folder(args) / f"launch-{int(args['number'])}.json").get("mark")
    if not mark:
        return
    wanted = f"{MARK}={mark}".encode()
    for _ in range(100):
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        if not found:
            return
        _kill(found)
        time.sleep(0.05)


def _kill(pids: Collection[int]) -> None:
    """All are stopped first: a shell whose child is killed a moment before itself would go on."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _descendants(top: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    parents[int(entry.name)] = int(fields[1])
    found = {top}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {top}


# --- and hands over


def collect(args: Mapping[str, Any]) -> dict[str, Any]:
    """Make result.bundle of the state of the checkout, by `export` run as `confine` says; what was said.

    `refused` is why there is none, where the checkout is such that it cannot be exported.
    """
    folder, work = _run_folder(args), _work(args)
    _end_marked(args)  # of a launch whose first process was killed, something may still write
    index = folder / "index"
    options = [str(index.stat().st_size), str(int(index.stat().st_mtime)), *map(str, args["most"])]
    argv = ["sh", "-c", args["script"], "export", "export", args["base"], *options]
    argv += [word for pattern in args["patterns"] for word in ("-x", pattern)]
    part = folder / "result.part"
    with index.open("rb") as given, part.open("wb") as out:
        code, words = _exported(args, argv, given, out)
    refused = ""
    if code:
        said = words.strip().splitlines()
        refused = said[-1][:300] if said else f"the export ended with {code}"
        if _free_mb() < _LEAST_MB:
            raise Fault(f"no space left on its disk: {refused}")
    part.rename(folder / "result.bundle")
    log = _read_below(work, "repo", ".bb-agent", "agent.log", cap=_LOG_CAP, tail=True)
    (folder / "agent.log").write_bytes(log or b"")
    return {
        "refused": refused,
        "state": _state(work),
        "ended": _loaded(folder / f"ended-{args['number']}.json"),
        "summary": _text(_read_below(work, "tmp", "handover", "summary.md", cap=_WORDS_CAP)),
        "question": _text(_read_below(work, "tmp", "handover", "question.md", cap=_WORDS_CAP)),
        "said": _text(_tail(folder / f"launch-{args['number']}.log")),
    }


def _exported(
    args: Mapping[str, Any], argv: Sequence[str], given: BinaryIO, out: BinaryIO
) -> tuple[int, str]:
    """Its exit code, and what it said."""
    env = {**os.environ, **args["env"]}
    with _confined(
        args["confine"], argv, cwd=args["cwd"], env=env, stdin=given, stdout=out, stderr=subprocess.PIPE
    ) as export:
        try:
            _, said = export.communicate(timeout=float(args["seconds"]))
        except subprocess.TimeoutExpired:
            export.kill()
            raise
    return export.returncode, _text(said)


def collected(args: Mapping[str, Any]) -> dict[str, Any]:
    """The result has arrived: what is here need not be rescued. Keys are taken away."""
    folder = _run_folder(args)
    if folder.is_dir():
        (folder / "collected").touch()
    task = _work(args) / "task"
    keys = (*folder.glob("*.env"), *folder.glob("*.key"), *folder.glob("home-*"), *task.glob("home-*"))
    for left in (*keys, task / "agent.env", task / "callback.key"):
        with contextlib.suppress(OSError):
            left.unlink()
    for name in args.get("home", ()):
        _remove_below(_work(args), "home", *Path(name).parts)
    return {"folder": folder.is_dir()}


def _state(work: Path) -> dict[str, Any]:
    data = _read_below(work, "repo", ".bb-agent", "state.json", cap=_STATE_CAP)
    try:
        state = json.loads(data or b"")
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


# --- files


def _run_folder(args: Mapping[str, Any]) -> Path:
    return _OURS / "runs" / Path(str(args["run"])).name


def _mirror(args: Mapping[str, Any]) -> Path:
    return _OURS / "mirrors" / f"{Path(str(args['slug'])).name}.git"


def _work(args: Mapping[str, Any]) -> Path:
    return Path("work") / Path(str(args["slug"])).name


def _opened_below(top: Path, names: Sequence[str]) -> int:
    """The folder below `top`, none of these names being a link. Raises OSError."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    for name in names:
        try:
            deeper = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor


def _read_below(top: Path, *names: str, cap: int = 1000, tail: bool = False) -> bytes | None:
    """A plain file's first or last bytes; None for anything else."""
    try:
        folder = _opened_below(top, names[:-1])
        try:
            descriptor = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return None
        if tail and about.st_size > cap:
            file.seek(about.st_size - cap)
            file.readline()
        return file.read(cap)


def _remove_below(top: Path, *names: str) -> None:
    with contextlib.suppress(OSError):
        folder = _opened_below(top, names[:-1])
        try:
            os.unlink(names[-1], dir_fd=folder)
        finally:
            os.close(folder)


def _hand(folder: int, name: str, data: bytes, uid: int | None) -> None:
    """Replace a file in an open folder; the agent's user may read it and nobody else."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    with os.fdopen(made, "wb") as file:
        file.write(data)
        if uid is not None and uid != os.getuid():
            os.fchown(file.fileno(), uid, uid)


def _write(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _loaded(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _tail(path: Path) -> bytes:
    try:
        return path.read_bytes()[-2000:]
    except OSError:
        return b""


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def _git(*argv: str, stdin: str = "") -> str:
    """In repositories that no agent has touched."""
    settings = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"]
    done = subprocess.run(
        ["git", *settings, *argv],
        input=stdin.encode(),
        capture_output=True,
        env={**os.environ, **_GIT_ENV},
        timeout=1800,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Fault(said[-1][:300] if said else f"git {argv[0]} ended with {done.returncode}")
    return done.stdout.decode("utf-8", "replace")


ERRANDS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "probe": probe,
    "try_out": try_out,
    "reserve": reserve,
    "free": free,
    "have": have,
    "unpack": unpack,
    "launch": launch,
    "look": look,
    "stop": stop,
    "collect": collect,
    "collected": collected,
}


def main() -> int:
    os.umask(0o077)
    try:
        answer = ERRANDS[sys.argv[1]](json.loads(sys.argv[2]))
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 3
    except subprocess.TimeoutExpired as error:
        print(f"{error.cmd[0]} did not end within {error.timeout:g} s", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"{error.filename or ''}: {error.strerror}".lstrip(": "), file=sys.stderr)
        return 3
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
