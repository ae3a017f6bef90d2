"""What test runners print is understood."""

from __future__ import annotations

import time

import pytest

from sprint.verify import reports

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
    "ava": (
        "  ✔ adds (368ms)\n  ✘ [fail]: takes: 1\n  ─\n\n  takes: 1\n\n"
        "  1 test failed\n  2 tests passed\n  1 test skipped\n",
        ("takes: 1",),
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


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("  1 passing\n  1 failing\n\n  1) a\n", " " * 400),
        ("Tests:  1 total\n", f"Tests: {'1' * 150} failed {'1' * 150} passed {'1' * 150}"),
        (" Tests  1 passed (1)\n", f" Tests  {'1' * 480}"),
        ("1 passed in 0.1s\n", f"a{'::' * 200}"),
        ("1..1\n", f"not ok 1 {' # ' * 160}"),
        ("1 test completed, 1 failed\n", "a" + " > " * 160),
        (" Tests  1 passed (1)\n", " FAIL  a" + " [ " * 160),
        ("ok | 1 passed\n", "ok | 1 passed" + " | 1" * 120),
        ("Ran 1 test in 1s\n", f"FAIL: a ({'(' * 480}"),
        ("Failed! - Failed: 1\n", "  Failed a" + " [" * 240),
        ("test result: ok\n", "test result: " + " 1 passed; 1" * 40),
    ],
)
def test_no_line_takes_long(head: str, line: str) -> None:
    started = time.process_time()
    reports.read(head + f"{line}\n" * 300)
    assert time.process_time() - started < 2.0
