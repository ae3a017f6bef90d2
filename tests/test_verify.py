"""The project's checks: found, run in the sandbox, read and compared."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sprint import sandbox, verify
from sprint.config import SandboxConfig
from sprint.domain import CheckResult, CheckStatus, Completed, Workspace
from sprint.verify import reports

IS_ROOT = os.getuid() == 0
UID = 210_000 + os.getpid() if IS_ROOT else os.getuid()
PYTEST = "PYTHONPATH=/work/home/packages python3 -m pytest -q -p no:cacheprovider"
PASSED, FAILED = CheckStatus.PASSED, CheckStatus.FAILED
TIMED_OUT, NOT_RUN = CheckStatus.TIMED_OUT, CheckStatus.NOT_RUN


@pytest.fixture
def box() -> sandbox.Sandbox:
    return sandbox.make(SandboxConfig())


@pytest.fixture
def space(workspaces: Path) -> Workspace:
    made = Workspace(Path(tempfile.mkdtemp(dir=workspaces)), UID if IS_ROOT else None)
    for path in (made.root, made.repo, made.home, made.tmp):
        path.mkdir(exist_ok=True)
        os.chown(path, UID, -1)
    return made


@pytest.fixture(scope="module")
def pytest_files() -> Iterator[Path]:
    """The pytest that runs this very test: there is no network to install another from."""
    with tempfile.TemporaryDirectory(prefix="sprint-test-", dir="/tmp") as folder:
        for name in ("pytest", "pluggy", "iniconfig", "packaging", "pygments"):
            for file in importlib.metadata.files(name) or ():
                if ".." not in file.parts and file.suffix == ".py":
                    target = Path(folder, file)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file.locate(), target)
        yield Path(folder)


@pytest.fixture
def has_pytest(space: Workspace, pytest_files: Path) -> None:
    shutil.copytree(pytest_files, space.home / "packages", copy_function=os.link)
    (space.home / "packages").chmod(0o755)


def write(space: Workspace, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = space.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class NoModules:
    """Stands for a sandbox whose Python has only the modules named."""

    kind = "fake"

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def run(self, argv: list[str], workspace: Workspace, **_: Any) -> Completed:
        return Completed(0 if any(f"import {name}'" in argv[-1] for name in self._modules) else 1, b"", b"")


# --- finding -----------------------------------------------------------------------------------

_TEST = "def test_one(): pass\n"
_UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test_one(self): pass\n"
_GO = "module example.org/m\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ()),
        ({"README.md": "pytest", "test.txt": "no"}, ()),
        ({"tests/test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"tests/unit/test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, ("python3 -m pytest -q",)),
        ({"pyproject.toml": "[project]\nname='x'\n", "tests/data.json": "{}"}, ()),
        ({"tests/test_a.py": _UNITTEST}, ("python3 -m unittest discover -s tests",)),
        (
            {"tests/test_a.py": _UNITTEST, "tests/__init__.py": ""},
            ("python3 -m unittest discover -s tests -t .",),
        ),
        ({"pytest.ini": "", "tests/test_a.py": _UNITTEST}, ("python3 -m pytest -q",)),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}})}, ("npm test",)),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}}), "yarn.lock": ""}, ("yarn test",)),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "pnpm-lock.yaml": ""}, ("pnpm test",)),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "bun.lockb": ""}, ("bun run test",)),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ()),
        ({"package.json": '{"scripts": {"build": "x"}}'}, ()),
        ({"package.json": '{"scripts": ["test"]}'}, ()),
        ({"package.json": "not json"}, ()),
        ({"package.json": "[" * 100_000}, ()),
        ({"go.mod": _GO}, ("go test ./...",)),
        ({"Cargo.toml": "[package]"}, ("cargo test",)),
        ({"Makefile": "all:\n\ttrue\n\ntest: all\n\t./run-tests\n"}, ("make test",)),
        ({"Makefile": ".PHONY: test\ncheck:\n\ttrue\n"}, ("make check",)),
        ({"Makefile": "TESTS := a\ntest := b\nlatest: x\n\ttest: y\n"}, ()),
        ({"Makefile": "test:\n\tgo test ./...\n", "go.mod": _GO}, ("go test ./...",)),
        ({"Makefile": "test:\n\t./more\n", "go.mod": _GO}, ("go test ./...", "make test")),
        ({"tox.ini": "[testenv]\ncommands = pytest\n", "tests/test_a.py": _TEST}, ("python3 -m pytest -q",)),
        ({"tox.ini": "[testenv]\ncommands = true\n"}, ("python3 -m tox",)),
        ({"pom.xml": "<project/>"}, ("mvn -B test",)),
        ({"build.gradle.kts": "", "gradlew": ""}, ("./gradlew test",)),
        ({"mix.exs": ""}, ("mix test",)),
        ({"a.sln": ""}, ("dotnet test",)),
        ({"deno.json": '{"tasks": {"test": "deno test -A"}}'}, ("deno task test",)),
        ({"Gemfile": "gem 'rspec'", "spec/a_spec.rb": ""}, ("bundle exec rspec",)),
        ({"Rakefile": "Rake::TestTask.new"}, ("rake test",)),
        ({"phpunit.xml.dist": ""}, ("vendor/bin/phpunit",)),
        ({"composer.json": '{"scripts": {"test": "phpunit"}}'}, ("composer test",)),
        (
            {"tests/test_a.py": _TEST, "package.json": json.dumps({"scripts": {"test": "vitest run"}})},
            ("python3 -m pytest -q", "npm test"),
        ),
    ],
)
def test_checks_are_found_by_files(
    space: Workspace, files: dict[str, str], expected: tuple[str, ...]
) -> None:
    write(space, files)
    has_pytest = NoModules() if "unittest" in str(expected) else NoModules("pytest")
    assert verify.find_checks(space, has_pytest) == expected  # type: ignore[arg-type]


def test_pytest_is_looked_for_in_the_sandbox(space: Workspace, box: sandbox.Sandbox) -> None:
    write(space, {"tests/test_a.py": _UNITTEST, "pytest.py": "a decoy in the checkout"})
    found = verify.find_checks(space, box)
    if box.run(["python3", "-c", "import sys; sys.path.pop(0); import pytest"], space, timeout=20).ok:
        assert found == ("python3 -m pytest -q",)
    else:
        assert found == ("python3 -m unittest discover -s tests",)


def test_hostile_files_are_not_read(space: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "package.json"
    secret.write_text(json.dumps({"scripts": {"test": "x"}}))
    (space.repo / "package.json").symlink_to(secret)
    os.mkfifo(space.repo / "pyproject.toml")
    (space.repo / "Makefile").mkdir()
    (space.repo / "tests").symlink_to(Path(__file__).parent)
    assert verify.find_checks(space, NoModules("pytest")) == ()  # type: ignore[arg-type]


def test_a_checkout_that_is_a_link_is_not_followed(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(_GO)
    space.repo.rmdir()
    space.repo.symlink_to(tmp_path)
    assert verify.find_checks(space, NoModules()) == ()  # type: ignore[arg-type]


# --- reading -----------------------------------------------------------------------------------

_OUTPUTS = {
    "pytest": (
        "F.E\n=== FAILURES ===\nERROR    root:a.py:3 logged\nFAILED not in the summary\n"
        "=== short test summary info ===\nFAILED tests/test_a.py::test_x[a - b] - assert 1 == 2\n"
        "FAILED tests/test_a.py::TestC::test_y - AssertionError: x - y\nERROR tests/test_b.py - ImportError\n"
        "=== 2 failed, 1 passed, 3 skipped, 1 warning, 1 error in 0.12s ===\n",
        ("tests/test_a.py::test_x[a - b]", "tests/test_a.py::TestC::test_y", "tests/test_b.py"),
        (4, 3),
    ),
    "pytest quiet": ("...\n3 passed in 0.01s\n", (), (3, 0)),
    "pytest skips all": ("sss\n3 skipped in 0.01s\n", (), (0, 0)),
    "pytest finds none": ("\nno tests ran in 0.00s\n", (), (0, 0)),
    "pytest verbose, no summary": (
        "tests/test_a.py::test_x FAILED   [ 50%]\ntests/test_a.py::test_y PASSED   [100%]\n"
        "=== 1 failed, 1 passed in 61.20s (0:01:01) ===\n",
        ("tests/test_a.py::test_x",),
        (2, 1),
    ),
    "unittest": (
        "FAIL: test_a (tests.test_x.C.test_a)\nERROR: test_b (tests.test_x.C) (i=1)\n"
        "Ran 3 tests in 0.001s\n\nFAILED (failures=1, errors=1)\n",
        ("tests.test_x.C.test_a", "tests.test_x.C.test_b (i=1)"),
        (3, 2),
    ),
    "go": (
        "--- FAIL: TestX (0.00s)\n    --- FAIL: TestX/sub (0.00s)\n    x_test.go:3: no\nFAIL\n"
        "FAIL\texample.org/m/x\t0.003s\nok  \texample.org/m/y\t0.002s\n"
        "?   \texample.org/m/z\t[no test files]\n"
        "FAIL\texample.org/m/w [build failed]\nFAIL\n",
        ("example.org/m/x.TestX", "example.org/m/x.TestX/sub", "example.org/m/w (build failed)"),
        (3, 2),
    ),
    "go has none": ("?   \texample.org/m\t[no test files]\n", (), (0, 0)),
    "cargo": (
        "running 2 tests\ntest tests::a ... ok\ntest tests::b ... FAILED\n\n"
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        ("tests::b",),
        (2, 1),
    ),
    "jest": (
        "FAIL src/a.test.js\n  ● Console\n\n  ● sums \u203a adds\n\n    expect(received)\n\n"
        "Tests:       1 failed, 2 passed, 3 total\n",
        ("src/a.test.js: sums \u203a adds",),
        (3, 1),
    ),
    "vitest": (
        " FAIL  test/a.test.ts > sums > adds\nAssertionError\n Test Files  1 failed (1)\n"
        "      Tests  1 failed | 2 passed (3)\n",
        ("test/a.test.ts > sums > adds",),
        (3, 1),
    ),
    "mocha": (
        "  2 passing (3ms)\n  1 failing\n\n  1) sums\n       adds:\n     AssertionError\n",
        ("sums adds",),
        (3, 1),
    ),
    "TAP": ("1..3\nok 1 - a\nnot ok 2 - b c\nnot ok 3 - d # TODO later\n", ("b c",), (None, None)),
    "bun": (
        "(fail) sums > adds [0.1ms]\n\n 2 pass\n 1 fail\nRan 3 tests across 1 file. [5ms]\n",
        ("sums > adds",),
        (3, 1),
    ),
    "deno": ("adds ... FAILED (3ms)\nFAILED | 1 passed | 1 failed (10ms)\n", ("adds",), (2, 1)),
    "rspec": ("3 examples, 1 failure\n\nrspec ./spec/a_spec.rb:3 # Sums adds\n", ("Sums adds",), (3, 1)),
    "minitest": (
        "  1) Failure:\nTestA#test_b [test/a.rb:3]:\nno\n\n"
        "3 runs, 3 assertions, 1 failures, 0 errors, 0 skips\n",
        ("TestA#test_b",),
        (3, 1),
    ),
    "phpunit": (
        "1) App\\ATest::testB\nno\n\nFAILURES!\nTests: 3, Assertions: 3, Errors: 1, Failures: 1.\n",
        ("App\\ATest::testB",),
        (3, 2),
    ),
    "mix": (
        "  1) test adds (SumsTest)\n\n2 doctests, 3 tests, 1 failure\n",
        ("test adds (SumsTest)",),
        (5, 1),
    ),
    "maven": (
        "[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.1 s <<< FAILURE!\n"
        "[ERROR]   ATest.testB:12 expected: <1>\n[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0\n",
        ("ATest.testB",),
        (2, 1),
    ),
    "gradle": ("ATest > testB() FAILED\n\n2 tests completed, 1 failed\n", ("ATest > testB()",), (2, 1)),
    "dotnet": (
        "  Failed N.T.B [3 ms]\nFailed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3\n",
        ("N.T.B",),
        (3, 1),
    ),
    "none of them": ("make: *** [Makefile:2: test] Error 1\nFAILED somehow\n", (), (None, None)),
}


@pytest.mark.parametrize("name", _OUTPUTS)
def test_reports_are_read(name: str) -> None:
    output, failures, counts = _OUTPUTS[name]
    report = reports.read(output)
    assert (report.failures, (report.ran, report.failed)) == (failures, counts)


def test_hostile_output_is_read_in_time() -> None:
    lines = ["short test summary info", "FAILED " + "[" * 100_000, "Tests: " + "1 failed" * 50_000]
    lines += ["FAILED a - [" * 30] * 2_000 + ["  1) a"] * 20_000 + ["  1 failing"]
    assert reports.read("\n".join(lines)).failures


# --- running -----------------------------------------------------------------------------------

_GOOD = "def test_good(): pass\n"
_BAD = "def test_bad(): assert False, '\\x1b[31mred'\n"


def run(box: sandbox.Sandbox, space: Workspace, *commands: str, **options: Any) -> tuple[CheckResult, ...]:
    return verify.run_checks(box, space, commands, **{"timeout": 30, **options})


@pytest.mark.usefixtures("has_pytest")
def test_a_real_pytest(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"test_a.py": _GOOD + _BAD})
    (result,) = run(box, space, PYTEST)
    assert (result.ran, result.failed) == (2, 1), result.tail
    assert (result.status, result.exit_code) == (FAILED, 1)
    assert result.failures == ("test_a.py::test_bad",)
    assert "\x1b" not in result.tail
    assert "red" in result.tail
    write(space, {"test_a.py": _GOOD})
    (result,) = run(box, space, PYTEST)
    assert (result.status, result.failures, result.ran) == (PASSED, (), 1)
    (space.repo / "test_a.py").unlink()
    (result,) = run(box, space, PYTEST)
    assert (result.status, result.note) == (NOT_RUN, "no tests were found")


def test_a_real_unittest(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"tests/test_a.py": _UNITTEST + "    def test_two(self): self.fail()\n"})
    (result,) = run(box, space, "python3 -m unittest discover -s tests")
    assert (result.status, result.ran, result.failed) == (FAILED, 2, 1)
    assert result.failures == ("test_a.T.test_two",)
    write(space, {"tests/test_a.py": ""})
    (result,) = run(box, space, "python3 -m unittest discover -s tests")
    assert result.status is NOT_RUN


@pytest.mark.parametrize(
    "command", ["no-such-program", "./missing.sh", "make -s test", "python3 -m pytest_missing || exit 127"]
)
def test_a_missing_program_is_not_a_failure(box: sandbox.Sandbox, space: Workspace, command: str) -> None:
    write(space, {"Makefile": "test:\n\tno-such-runner --all\n"})
    (result,) = run(box, space, command)
    assert (result.status, result.note) == (NOT_RUN, "its program is not there")


def test_time_runs_out(box: sandbox.Sandbox, space: Workspace) -> None:
    slow, fine = run(box, space, "echo begun; sleep 60", "true", timeout=0.5)
    assert (slow.status, slow.exit_code, slow.tail) == (TIMED_OUT, None, "begun")
    assert fine.status is PASSED


def test_tails_are_short_and_clean(box: sandbox.Sandbox, space: Workspace) -> None:
    (result,) = run(
        box, space, "for i in $(seq 3000); do echo line $i; done; printf 'a\\rb\\033[1mc\\007\\n'; false"
    )
    assert len(result.tail) < 4_100
    assert result.tail.startswith("[...]\nline ")
    assert result.tail.endswith("line 3000\nbc")


def test_setup_stops_at_the_first_failure(box: sandbox.Sandbox, space: Workspace) -> None:
    assert verify.run_setup(box, space, ["echo 1 >a", "cat a"], network=False, timeout=20) is None
    failed = verify.run_setup(
        box, space, ["true", "echo why >&2; exit 3", "echo >b"], network=False, timeout=20
    )
    assert failed is not None
    assert (failed.command, failed.status, failed.exit_code, failed.tail) == (
        "echo why >&2; exit 3", FAILED, 3, "why",
    )  # fmt: skip
    assert not (space.repo / "b").exists()


def test_the_network_is_off_unless_asked_for(box: sandbox.Sandbox, space: Workspace) -> None:
    command = "test $(wc -l </proc/net/dev) -gt 3"
    (result,) = run(box, space, command)
    assert result.status is FAILED
    (result,) = run(box, space, "grep -q nameserver /etc/resolv.conf || test -e /etc/hosts", network=True)
    assert result.status is PASSED


_FLAKY = "if [ -e ran ]; then {second}; else touch ran; {first}; fi"


def test_a_failure_that_passes_when_run_again_is_not_believed(box: sandbox.Sandbox, space: Workspace) -> None:
    command = _FLAKY.format(first="exit 1", second="exit 0")
    base = [CheckResult(command, PASSED, 0)]
    (result,) = run(box, space, command, base=base)
    assert (result.status, result.note) == (PASSED, "failed once, passed when run again")
    (space.repo / "ran").unlink()
    (result,) = run(box, space, command)
    assert result.status is FAILED, "without a base nothing is run twice"


def test_a_failure_that_stays_is_believed(box: sandbox.Sandbox, space: Workspace) -> None:
    command = "echo x >>runs; exit 1"
    (result,) = run(box, space, command, base=[CheckResult(command, PASSED, 0)])
    assert result.status is FAILED
    assert (space.repo / "runs").read_text() == "x\nx\n"
    (result,) = run(box, space, command, base=[CheckResult(command, FAILED, 1)])
    assert (space.repo / "runs").read_text() == "x\nx\nx\n", "an old failure is not run twice"


@pytest.mark.usefixtures("has_pytest")
def test_of_two_failed_runs_the_stable_failures_count(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"test_a.py": _BAD + "import pathlib\ndef test_flaky():\n    p = pathlib.Path('seen')\n"
                  "    was = p.exists()\n    p.touch()\n    assert not was\n"})  # fmt: skip
    (result,) = run(box, space, PYTEST, base=[CheckResult(PYTEST, PASSED, 0, ran=2, failed=0)])
    assert (result.failures, result.note) == (("test_a.py::test_bad",), "1 more failed in one of two runs")


def test_checks_of_the_base_are_run_though_the_result_has_lost_them(
    box: sandbox.Sandbox, space: Workspace
) -> None:
    base = [CheckResult("test -e a-test", PASSED, 0)]
    results = run(box, space, "true", base=base)
    assert [(result.command, result.status) for result in results] == [
        ("true", PASSED),
        ("test -e a-test", FAILED),
    ]


# --- comparing ---------------------------------------------------------------------------------


def check(status: CheckStatus, *failures: str, **more: Any) -> CheckResult:
    return CheckResult("c", status, failures=failures, **more)


@pytest.mark.parametrize(
    ("base", "result", "is_regression", "new", "note"),
    [
        (check(PASSED), check(PASSED), False, (), ""),
        (
            check(PASSED, ran=9, failed=0),
            check(PASSED, ran=7, failed=0),
            False,
            (),
            "2 fewer tests than before",
        ),
        (check(FAILED, "a"), check(PASSED), False, (), ""),
        (check(PASSED), check(FAILED, "a"), True, ("a",), ""),
        (check(PASSED), check(FAILED), True, (), ""),
        (check(PASSED), check(TIMED_OUT), True, (), "did not time out before"),
        (check(PASSED), check(NOT_RUN, note="no tests were found"), True, (), "no tests were found"),
        (check(FAILED, "a"), check(FAILED, "a"), False, (), "failed before too"),
        (check(FAILED, "a", "b"), check(FAILED, "b"), False, (), "failed before too"),
        (check(FAILED, "a"), check(FAILED, "a", "b"), True, ("b",), ""),
        (check(FAILED, "a"), check(FAILED, "b"), True, ("b",), ""),
        (check(FAILED), check(FAILED), False, (), "failed before too: which failures are new cannot be told"),
        (check(FAILED, failed=2), check(FAILED, failed=2), False, (), "failed before too"),
        (check(FAILED, failed=2), check(FAILED, failed=3), True, (), "3 failures, 2 before"),
        (check(FAILED, "a", ran=9, failed=1), check(FAILED), True, (), "no test ran any more"),
        (check(FAILED, "a", ran=9, failed=1), check(NOT_RUN), True, (), "ran before"),
        (check(FAILED), check(NOT_RUN), False, (), ""),
        (check(FAILED), check(TIMED_OUT), True, (), "did not time out before"),
        (check(TIMED_OUT), check(TIMED_OUT), False, (), "timed out before too"),
        (
            check(TIMED_OUT),
            check(FAILED, "a"),
            False,
            (),
            "timed out before: which failures are new cannot be told",
        ),
        (check(NOT_RUN), check(NOT_RUN), False, (), ""),
        (check(NOT_RUN), check(PASSED), False, (), ""),
        (check(NOT_RUN, note="no tests were found"), check(FAILED, "a"), True, ("a",), "no tests were found"),
    ],
)
def test_comparisons(
    base: CheckResult, result: CheckResult, is_regression: bool, new: tuple[str, ...], note: str
) -> None:
    (comparison,) = verify.compare([base], [result]).comparisons
    assert (comparison.is_regression, comparison.new_failures, comparison.note) == (is_regression, new, note)


def test_checks_of_one_side_only() -> None:
    proof = verify.compare(
        [CheckResult("old", PASSED), CheckResult("gone", FAILED)],
        [CheckResult("new", PASSED), CheckResult("new and bad", FAILED, failures=("a",))],
    )
    seen = {c.command: (c.base.status, c.result.status, c.is_regression) for c in proof.comparisons}
    assert seen == {
        "new": (NOT_RUN, PASSED, False),
        "new and bad": (NOT_RUN, FAILED, True),
        "old": (PASSED, NOT_RUN, True),
        "gone": (FAILED, NOT_RUN, False),
    }
    assert [c.base.note for c in proof.comparisons][:2] == ["not a check at the base"] * 2
    assert [c.command for c in proof.regressions] == ["new and bad", "old"]


def test_no_checks_prove_nothing() -> None:
    assert verify.compare([], []).comparisons == ()


@pytest.mark.usefixtures("has_pytest")
def test_a_change_from_end_to_end(box: sandbox.Sandbox, space: Workspace) -> None:
    write(space, {"test_old.py": _BAD, "test_more.py": _GOOD})
    base = run(box, space, PYTEST)
    write(space, {"test_more.py": "def test_good(): assert 1 == 2\n"})
    proof = verify.compare(base, run(box, space, PYTEST, base=base))
    (regression,) = proof.regressions
    assert regression.new_failures == ("test_more.py::test_good",)
    write(space, {"test_more.py": _GOOD})
    assert not verify.compare(base, run(box, space, PYTEST, base=base)).regressions
