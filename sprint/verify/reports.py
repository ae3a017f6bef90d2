"""What test runners print, one row each: which tests failed, and how many there were."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

_MOST_NAMES = 500
_LONGEST_NAME = 300
_LONGEST_LINE = 500  # and so a bound on the time that a pattern can take


class Report(Struct, frozen=True):
    """Failed tests by name, and counts where the output has them; skipped tests did not run."""

    failures: tuple[str, ...] = ()
    ran: int | None = None
    failed: int | None = None


class _Runner(Struct, frozen=True):
    """`mark` tells a runner's output; `names` finds failures; `counts` matches the lines that count tests.

    Its groups: `ran` all that ran, `passed` and `failed` some of them, `one_...` a single one.
    """

    mark: str
    names: Callable[[str], Iterator[str]]
    counts: str = ""


def _lines(*patterns: str) -> Callable[[str], Iterator[str]]:
    """Names found by patterns with one group."""
    compiled = [re.compile(pattern, re.MULTILINE) for pattern in patterns]

    def names(output: str) -> Iterator[str]:
        for pattern in compiled:
            for match in pattern.finditer(output):
                yield match[1]

    return names


_PYTEST_END = (
    r"^(?:=+ )?(?:(?P<one_none>no tests ran)|(?=\d)(?:(?P<failed>\d+) failed(?:, )?)?"
    r"(?:(?P<passed>\d+) passed(?:, )?)?(?:\d+ skipped(?:, )?)?(?:\d+ deselected(?:, )?)?"
    r"(?:(?P<passed_x>\d+) xfailed(?:, )?)?(?:(?P<passed_p>\d+) xpassed(?:, )?)?"
    r"(?:\d+ warnings?(?:, )?)?(?:(?P<failed_e>\d+) errors?)?) in \d+\.\d+s"
)


def _pytest(output: str) -> Iterator[str]:
    _, *parts = output.split("short test summary info")
    for part in parts:
        end = re.search(_PYTEST_END, part, re.MULTILINE)
        for line in part[: end.start() if end else None].splitlines():
            kind, _, rest = line.partition(" ")
            if kind in ("FAILED", "ERROR"):
                yield _pytest_name(rest)
    if not parts:
        yield from _lines(r"^((?=\S+?::).+?) (?:FAILED|ERROR)(?: +\[ *\d+%\])?$")(output)


def _pytest_name(text: str) -> str:
    """The part before " - ", except that a parameter in brackets may hold that too."""
    parts = text.split(" - ")
    for number in range(1, len(parts) + 1):
        name = " - ".join(parts[:number])
        if "[" not in name or name.endswith("]"):
            return name
    return parts[0]


def _unittest(output: str) -> Iterator[str]:
    for test, inside, subtest in re.findall(r"^(?:FAIL|ERROR): (\S+) \((\S+?)\)(.*)$", output, re.MULTILINE):
        name = inside if inside.endswith(f".{test}") else f"{inside}.{test}"
        yield f"{name}{subtest}"


def _go(output: str) -> Iterator[str]:
    """A package is named after its tests."""
    tests: list[str] = []
    for line in output.splitlines():
        if match := re.match(r"\s*--- FAIL: (\S+)", line):
            tests.append(match[1])
        elif match := re.match(r"(FAIL|ok)\s+(\S+)(?:\s+\[(.+)\])?", line):
            package, fault = match[2], match[3]
            if match[1] == "FAIL" and not tests:
                yield f"{package} ({fault})" if fault else package
            yield from (f"{package}.{test}" for test in tests)
            tests = []
    yield from tests


def _jest(output: str) -> Iterator[str]:
    suite = ""
    for line in output.splitlines():
        if match := re.match(r"FAIL\s+(\S+)", line):
            suite = match[1]
        elif match := re.match(r"\s*● (?!Console$)(.+)", line):
            yield f"{suite}: {match[1].strip()}"


def _mocha(output: str) -> Iterator[str]:
    """Numbered after the counts, each over one or more lines of which the last ends with a colon."""
    _, _, rest = output.partition(" failing")
    title: list[str] = []
    for line in rest.splitlines():
        if match := re.match(r"  \d+\) (.+)", line):
            title = [match[1]]
        elif title and line.startswith("     "):
            title.append(line)
        else:
            title = []
        if title and line.endswith(":"):
            yield " ".join(" ".join(title).removesuffix(":").split())
            title = []


_NOT_OK = r"^ *not ok \d+ (?:- )?((?:(?! # (?i:todo|skip)).)+)$"

_RUNNERS = {
    "pytest": _Runner(rf"{_PYTEST_END}|short test summary info", _pytest, _PYTEST_END),
    "unittest": _Runner(
        r"^Ran \d+ tests? in ",
        _unittest,
        r"^Ran (?P<ran>\d+) tests? in|failures=(?P<failed>\d+)|errors=(?P<failed_e>\d+)",
    ),
    "go test (counts packages)": _Runner(
        r"^(?:ok|FAIL|\?)[ \t]+\S+[ \t]+[\d(\[]|^--- FAIL: ",
        _go,
        r"^(?P<one_passed>ok)[ \t]+\S+[ \t]+(?!.*\[no tests to run\])[\d(]"
        r"|^(?P<one_failed>FAIL)[ \t]+\S+[ \t]+[\d\[]"
        r"|^(?P<one_none>\?)[ \t]+\S+[ \t]+\[no test files\]",
    ),
    "cargo test": _Runner(
        r"^test result: |^error: could not compile",
        _lines(r"^test (.+) \.\.\. FAILED$", r"^error: (could not compile `\S+`)"),
        r"^test result: .*? (?P<passed>\d+) passed; (?P<failed>\d+) failed;",
    ),
    "jest": _Runner(
        r"^Tests: .*\d+ total",
        _jest,
        r"^Tests: +(?:(?P<failed>\d+) failed, )?(?:\d+ skipped, )?(?:\d+ todo, )?"
        r"(?:(?P<passed>\d+) passed, )?\d+ total",
    ),
    "vitest": _Runner(
        r"^ *Tests  .*\(\d+\)$",
        _lines(r"^ *FAIL +(\S.*?)(?: \[ .* \])?$"),
        r"^ *Tests  (?:(?P<failed>\d+) failed)?(?: \| )?(?:(?P<passed>\d+) passed)?",
    ),
    "node --test": _Runner(
        r"^[\u2139#] tests \d+$",
        _lines(r"^ *✖ (?!failing tests:$)(.+?)(?: \(\d[\d.]*ms\))?$", _NOT_OK),
        r"^[\u2139#] pass (?P<passed>\d+)$|^[\u2139#] fail (?P<failed>\d+)$",
    ),
    "TAP": _Runner(r"^ *1\.\.\d+$", _lines(_NOT_OK)),
    "mocha": _Runner(
        r"^  \d+ (?:passing|failing)\b",
        _mocha,
        r"^  (?:(?P<passed>\d+) passing|(?P<failed>\d+) failing)\b",
    ),
    "ava": _Runner(
        r"^  \d+ tests? (?:passed|failed)$",
        _lines(r"^ *✘ \[fail\]: (.+)$"),
        r"^  (?:(?P<passed>\d+) tests? passed|(?P<failed>\d+) tests? failed)$",
    ),
    "bun test": _Runner(
        r"^Ran \d+ tests? across ",
        _lines(r"^\(fail\) (.+?)(?: \[[^\]\n]*\])?$"),
        r"^ *(?P<passed>\d+) pass$|^ *(?P<failed>\d+) fail$",
    ),
    "deno test": _Runner(
        r"^(?:ok|FAILED) \| \d+ passed",
        _lines(r"^(\S.*?) \.\.\. FAILED"),
        r"^(?:ok|FAILED) \| (?P<passed>\d+) passed.*? \| (?P<failed>\d+) failed",
    ),
    "rspec": _Runner(
        r"^\d+ examples?, \d+ failures?",
        _lines(r"^rspec \S+ # (.+)$"),
        r"^(?P<ran>\d+) examples?, (?P<failed>\d+) failures?",
    ),
    "minitest": _Runner(
        r"^\d+ (?:runs|tests), \d+ assertions, ",
        _lines(r"^(?: *\d+\) )?(?:Failure|Error):\n *(\S+#\S+?)(?: \[|:|$)"),
        r"^(?P<ran>\d+) (?:runs|tests), \d+ assertions, (?P<failed>\d+) failures, (?P<failed_e>\d+) errors",
    ),
    "phpunit": _Runner(
        r"^(?:OK \(\d+ tests?, |Tests: \d+, Assertions: )",
        _lines(r"^\d+\) (\S+::.+)$"),
        r"^OK \((?P<ran>\d+) tests?"
        r"|^Tests: (?P<ran_f>\d+),(?:.*? Errors: (?P<failed_e>\d+))?(?:.*? Failures: (?P<failed>\d+))?",
    ),
    "mix test": _Runner(
        r"^(?:\d+ doctests?, )?\d+ tests?, \d+ failures?",
        _lines(r"^ +\d+\) ((?:test|doctest) .+)$"),
        r"^(?:(?P<ran_d>\d+) doctests?, )?(?P<ran>\d+) tests?, (?P<failed>\d+) failures?",
    ),
    "maven": _Runner(
        r"Tests run: \d+, Failures: ",
        _lines(r"^\[ERROR\] {2,}([\w.$]+?)(?::\d+)?(?:->| |$)"),
        r"^\[\w+\] Tests run: (?P<ran>\d+), Failures: (?P<failed>\d+), Errors: (?P<failed_e>\d+), "
        r"Skipped: \d+$",
    ),
    "gradle": _Runner(
        r"^\d+ tests? completed, \d+ failed",
        _lines(r"^(\S.* > .+) FAILED$"),
        r"^(?P<ran>\d+) tests? completed, (?P<failed>\d+) failed",
    ),
    "dotnet test": _Runner(
        r"^(?:Failed|Passed)! +- Failed: ",
        _lines(r"^ *Failed (\S.*?)(?: \[[^\]\n]*\])?$"),
        r"^(?:Failed|Passed)! +- Failed: +(?P<failed>\d+), Passed: +(?P<passed>\d+)",
    ),
}


def read(output: str) -> Report:
    """What a check's output tells about its tests, from all the runners that wrote into it."""
    output = "\n".join(line[:_LONGEST_LINE] for line in output.splitlines())
    names: dict[str, None] = {}
    ran: int | None = None
    failed: int | None = None
    for runner in _RUNNERS.values():
        if not re.search(runner.mark, output, re.MULTILINE):
            continue
        names.update(dict.fromkeys(name.strip()[:_LONGEST_NAME] for name in runner.names(output)))
        if counts := _counted(runner.counts, output):
            ran, failed = (ran or 0) + counts[0], (failed or 0) + counts[1]
    return Report(tuple(names)[:_MOST_NAMES], ran, failed)


def _counted(pattern: str, output: str) -> tuple[int, int] | None:
    """How many tests ran, and how many of them failed; None where no line tells."""
    amounts: dict[str, int] = {"ran": 0, "passed": 0, "failed": 0, "none": 0}
    found = list(re.finditer(pattern, output, re.MULTILINE)) if pattern else []
    for match in found:
        for group, text in match.groupdict().items():
            if text is not None:
                is_one = group.startswith("one_")
                kind = group.removeprefix("one_").partition("_")[0]
                amounts[kind] += 1 if is_one else int(text)
    if not found:
        return None
    return amounts["ran"] or amounts["passed"] + amounts["failed"], amounts["failed"]
