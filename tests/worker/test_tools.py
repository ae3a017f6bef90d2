"""The tools, in a real sandbox: what they do, what they refuse, and what a huge output becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sprint.domain import replace
from sprint.errors import ForgeError
from sprint.sandbox.bwrap import Bwrap
from sprint.sandbox.standing import Standing, Wanted
from tests.servers import replies
from tests.servers.replies import call
from tests.worker.conftest import Bench, contents

END = replies.finish("question", "End.", question="End?")


def do(bench: Bench, *calls: replies.Reply) -> list[str]:
    """What each call showed to the model."""
    bench.run([*calls, END])
    return contents(bench.sent(), "tool")


def read(path: str, **more: Any) -> replies.Reply:
    return call("read_file", {"path": path, **more})


def write(path: str, content: str) -> replies.Reply:
    return call("write_file", {"path": path, "content": content})


def edit(path: str, old: str, new: str) -> replies.Reply:
    return call("edit_file", {"path": path, "old": old, "new": new})


def command(text: str, **more: Any) -> replies.Reply:
    return call("run_command", {"command": text, **more})


def test_commands_show_both_streams_in_order_and_how_they_ended(bench: Bench) -> None:
    shown = do(
        bench,
        command("echo one; echo two >&2; echo three; exit 3"),
        command("cd / && pwd"),
        command("pwd; [[ a == a ]] && echo bash"),
    )
    assert shown[0] == "one\ntwo\nthree\n[exit code 3]"
    assert shown[2].startswith("/work/repo\nbash")


def test_reading_and_searching_use_the_sandbox_that_waits_for_a_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Standing] = []

    def making(box: Bwrap, wanted: Wanted) -> Standing:
        made.append(making_one(box, wanted))
        return made[-1]

    making_one = Bwrap._made
    monkeypatch.setattr(Bwrap, "_made", making)
    bench.file("a.txt").write_text("one\n")
    looks = [command("true"), read("a.txt"), call("search", {"pattern": "one"}), read("a.txt")]
    shown = do(bench, *looks)
    assert shown[1:] == ["1\tone", "a.txt:1:one", "1\tone"]
    assert len(made) == len(looks) + 1, "and one in vain, at the end"


def test_a_command_that_takes_too_long_is_killed_with_what_it_said(bench: Bench) -> None:
    bench.limit(command_seconds=1.0)
    shown = do(bench, command("echo begun; sleep 60", timeout=900), command("echo x; sleep 60", timeout=1.2))
    assert shown[0] == "begun\n[killed after 1 s; no command gets more]"
    assert "[killed after" in shown[1]


@pytest.mark.parametrize(("network", "told"), [(False, "0\n0\n0"), (True, "")])
def test_installers_do_not_wait_for_a_network_that_is_not_there(
    bench: Bench, network: bool, told: str
) -> None:
    """npm tries for minutes by itself, in each run of a model that tries `npm install` once."""
    bench.job = replace(bench.job, network=network)
    (shown,) = do(bench, command("printenv npm_config_fetch_retries PIP_RETRIES UV_HTTP_RETRIES"))
    assert shown.partition("[exit")[0].strip() == told


def test_output_is_cleaned(bench: Bench) -> None:
    shown = do(
        bench, command(r"printf '\033[31mred\033[0m\007 \377 10%%\r50%%\r100%%\n\033]0;title\007tail'")
    )
    assert shown[0] == "red \ufffd 10%\r50%\r100%\ntail\n[exit code 0]".replace("red \ufffd 10%\r50%\r", "")


def test_a_huge_output_shows_head_and_tail_and_the_whole_can_be_read(bench: Bench) -> None:
    shown = do(
        bench,
        command("seq 1 200000"),
        read("/work/tmp/outputs/001.txt", offset=100000, limit=3),
        command("grep -c . /work/tmp/outputs/001.txt"),
    )
    assert len(shown[0]) < 11_000
    assert shown[0].startswith("1\n2\n")
    assert "199999\n200000\n[exit code 0]" in shown[0]
    assert "/work/tmp/outputs/001.txt" in shown[0]
    assert shown[1].startswith(
        "100000\t100000\n100001\t100001\n100002\t100002\n[lines 100000 to 100002 of 200000; go on with offset"
    )
    assert shown[2].startswith("200000\n")
    whole = (bench.job.folder / "outputs" / "001.txt").read_text().splitlines()
    assert len(whole) == 200_000
    assert bench.events("tool")[0]["output"] == "outputs/001.txt"
    assert not (bench.job.folder / "outputs" / "003.txt").exists()


def test_outputs_do_not_fill_the_runners_disk(bench: Bench) -> None:
    bench.limit(kept_mb=1)
    shown = do(bench, *[command(f"seq {n} 150000") for n in range(4)])
    kept = sum(path.stat().st_size for path in (bench.job.folder / "outputs").iterdir())
    assert 1_000_000 <= kept < 2_000_000
    assert "149999\n150000\n[exit code 0]" in shown[3]
    assert "the rest is lost" in shown[3]


def test_many_huge_outputs_of_one_turn_share_the_room(bench: Bench) -> None:
    bench.prices = {"context": 16_000}
    many = replies.calls(*[("run_command", {"command": f"seq {n} 20000"}) for n in range(12)])
    assert sum(len(text) for text in do(bench, many)) < 40_000


def test_files_are_written_and_read_with_their_lines(bench: Bench) -> None:
    text = "".join(f"line {n}\n" for n in range(1, 3001))
    shown = do(
        bench,
        write("deep/er/a.txt", text),
        read("deep/er/a.txt", limit=2),
        read("/work/repo/deep/er/a.txt", offset=2999),
        read("deep/er/a.txt", offset=9999),
        write("deep/er/a.txt", ""),
        read("deep/er/a.txt"),
        read("deep"),
        read("deep/er/b.txt"),
    )
    assert shown[0] == f"created deep/er/a.txt: 3000 lines, {len(text)} bytes"
    assert shown[1] == "1\tline 1\n2\tline 2\n[lines 1 to 2 of 3000; go on with offset 3]"
    assert shown[2] == "2999\tline 2999\n3000\tline 3000\n[lines 2999 to 3000 of 3000]"
    assert "has 3000 lines" in shown[3]
    assert shown[4].startswith("replaced")
    assert "is empty" in shown[5]
    assert "is a folder" in shown[6]
    assert "er/" in shown[6]
    assert "does not exist. In its folder: a.txt" in shown[7]


def test_one_endless_line_and_binary_files_do_no_harm(bench: Bench) -> None:
    shown = do(
        bench,
        command("head -c 3000000 /dev/zero | tr '\\0' x >long.txt; head -c 100 /dev/zero >zeros.bin"),
        read("long.txt"),
        read("zeros.bin"),
        edit("zeros.bin", "a", "b"),
        command("mkfifo pipe; ln -s /dev/zero zero"),
        read("pipe"),
        write("pipe", "x"),
        read("zero"),
    )
    assert len(shown[1]) < 2_200
    assert "binary" in shown[2]
    assert "binary" in shown[3]
    assert "no regular file" in shown[5]
    assert "no regular file" in shown[6]
    assert "outside the workspace" in shown[7]


def test_edits_want_the_text_exactly_once(bench: Bench) -> None:
    shown = do(
        bench,
        write("a.py", "def f():\n    return 1\n\ndef g():\n    return 1\n"),
        edit("a.py", "    return 1", "    return 2"),
        edit("a.py", "def f():\n  return 7", "x"),
        edit("a.py", "def ff():", "x"),
        edit("a.py", "zzzzzzz", "x"),
        edit("a.py", "def f", "def f"),
        edit("a.py", "def f():\n    return 1\n", "def f():\n    return 2\n"),
    )
    assert "2 times (at lines 2, 5)" in shown[1]
    assert "with other lines after them" in shown[2]
    assert "    return 1" in shown[2]
    assert "(line 1):\ndef f():" in shown[3]
    assert "nothing in it is like it" in shown[4]
    assert "the same" in shown[5]
    assert shown[6] == (
        "edited a.py at line 1; it reads now:\n"
        "1\tdef f():\n2\t    return 2\n3\t\n4\tdef g():\n5\t    return 1"
    )
    assert bench.file("a.py").read_text() == "def f():\n    return 2\n\ndef g():\n    return 1\n"


@pytest.mark.parametrize(
    ("text", "old", "new", "becomes"),
    [
        ("if x:\n    return 1\n", "if x:\n  return 1", "if x:\n  return 2\n", "if x:\n    return 2\n"),
        (
            "class A:\n    def f(self):\n        return 1\n",
            "def f(self):\n    return 1",
            "def f(self):\n    if x:\n        return 2\n    return 1",
            "class A:\n    def f(self):\n        if x:\n            return 2\n        return 1\n",
        ),
        (
            "\tif x {\n\t\ty()\n\t}\n",
            "  if x {\n    y()\n  }",
            "  if x {\n    z()\n  }",
            "\tif x {\n\t\tz()\n\t}\n",
        ),
        ("a = [1,2]\nb = 3\n", "a = [1, 2]", "a = [2, 1]", "a = [2, 1]\nb = 3\n"),
        ("a\n\nb\nend", "\nb   \nend\n\n", "c", "a\n\nc"),
        ("a\nb\nc\n", " b", "", "a\nc\n"),
        ("x = 1\ny = 2\n", "1\tx = 1\n2\ty = 2", "1\tx = 3\n2\ty = 4", "x = 3\ny = 4\n"),
        ("x\fy\nz = 1\r\n", "z  = 1", "z = 2", "x\fy\nz = 2\r\n"),
    ],
    ids=["indent", "deeper", "tabs", "within", "empty lines", "removed", "numbers", "other ends"],
)
def test_edits_find_a_unique_passage_up_to_whitespace(
    bench: Bench, text: str, old: str, new: str, becomes: str
) -> None:
    shown = do(bench, write("a.txt", text), edit("a.txt", old, new))
    assert bench.file("a.txt").read_bytes().decode() == becomes, shown[1]


def test_an_edit_up_to_whitespace_is_never_a_guess(bench: Bench) -> None:
    text = "  a\n b\nx\n    a\n  b\n"
    shown = do(
        bench,
        write("a.txt", text),
        edit("a.txt", "a\nb", "c"),
        edit("a.txt", "a\nx", "c"),
        edit("a.txt", "\n \n", "c"),
    )
    assert "up to whitespace it is there 2 times (at lines 1, 4)" in shown[1]
    assert "old is not in a.txt" in shown[2]
    assert "old is not in a.txt" in shown[3]
    assert bench.file("a.txt").read_text() == text


def test_an_edit_shows_its_place_and_no_more(bench: Bench) -> None:
    lines = [f"line {n}" for n in range(1, 400)]
    shown = do(
        bench,
        write("a.txt", "\n".join(lines)),
        edit("a.txt", "line 200\n", "two\nhundred\n"),
        edit("a.txt", "\n".join(lines[249:350]), "\n".join(f"new {n}" for n in range(100))),
    )
    assert shown[1] == (
        "edited a.txt at line 200; it reads now:\n197\tline 197\n198\tline 198\n199\tline 199\n"
        "200\ttwo\n201\thundred\n202\tline 201\n203\tline 202\n204\tline 203"
    )
    assert len(shown[2].splitlines()) == 42
    assert "[... 66 lines ...]" in shown[2]


BROKEN = [
    ("a.py", "def f():\n    return 1\n", "return 1", "return (1", "python3"),
    ("a.json", '{"a": 1}\n', "1", "1,", "python3"),
    ("a.toml", "a = 1\n", "1", "", "python3"),
    ("a.js", "let a = [1]\n", "1]", "1", "node"),
    ("a.go", "package a\n\nfunc F() {}\n", "{}", "{", "gofmt"),
    ("a.sh", "if true; then echo; fi\n", "; fi", "", "bash"),
]


@pytest.mark.parametrize(("path", "sound", "old", "new", "program"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_syntax_error_is_told_at_once(
    bench: Bench, path: str, sound: str, old: str, new: str, program: str
) -> None:
    shown = do(
        bench,
        write(path, sound),
        edit(path, old, new),
        write(path, sound.replace(old, new) + "\n"),
        command(f"command -v {program} >/dev/null && echo there; git status --short"),
    )
    assert "mistake" not in shown[0]
    is_there = "there" in shown[3].split()
    assert (f"[{program} finds a mistake in it now: " in shown[1]) == is_there
    assert "mistake" not in shown[2], "it was broken before"
    assert shown[3].replace("there\n", "") == f"?? {path}\n[exit code 0]", "nothing else was written"
    assert bench.file(path).read_text() == sound.replace(old, new) + "\n"


def test_a_checker_that_cannot_judge_says_nothing(bench: Bench) -> None:
    shown = do(
        bench,
        write("esm.js", 'import a from "./a.js"\nexport default a\n'),
        write("view.js", "export const a = () => <b>x</b>\n"),
        write("a.txt", "def f(:"),
        write("UPPER.PY", "def f(:"),
        command("chmod 000 . 2>/dev/null; true"),
    )
    assert [("mistake" in text) for text in shown[:4]] == [False, False, False, True]


def test_search_answers_path_line_and_text(bench: Bench) -> None:
    shown = do(
        bench,
        write("src/a.py", "import os\n\ndef total(x):\n    return x(1\n"),
        write("src/b.txt", "the total\n" + "y" * 5000 + "total\n"),
        write("many.txt", "needle\n" * 500),
        command("mkdir -p node_modules/x && echo total >node_modules/x/i.js; echo total >.git/hidden"),
        call("search", {"pattern": "tot.l"}),
        call("search", {"pattern": "total", "files": "*.py"}),
        call("search", {"pattern": "total", "path": "/work/repo/src/a.py"}),
        call("search", {"pattern": "x(1"}),
        call("search", {"pattern": "needle"}),
        call("search", {"pattern": "nowhere to be found"}),
        call("search", {"pattern": "root", "path": "/etc"}),
        call("search", {"pattern": "x", "path": "gone"}),
        call("search", {"pattern": "-e total"}),
        call("search", {"pattern": r"^def \w+\(", "path": "src"}),
    )[4:]
    lines = shown[0].splitlines()
    assert lines[0] == "src/a.py:3:def total(x):"
    assert lines[1] == "src/b.txt:1:the total"
    assert lines[2].startswith("src/b.txt:2:yyy")
    assert lines[2].endswith("[...]")
    assert len(lines) == 3 or "node_modules/x/i.js:1:total" in lines, "ripgrep alone reads .gitignore"
    assert shown[1] == shown[2] == "src/a.py:3:def total(x):"
    assert shown[3].startswith("src/a.py:4:    return x(1\n[taken as plain text:")
    assert shown[4].count("many.txt") == 100
    assert "there is more" in shown[4]
    assert shown[5] == "[nothing is like it]"
    assert "outside the workspace" in shown[6]
    assert "does not exist" in shown[7]
    assert shown[8] == "[nothing is like it]"
    assert shown[9] == "src/a.py:3:def total(x):"


def test_edits_keep_line_ends_bytes_and_modes(bench: Bench) -> None:
    do(
        bench,
        command(r"printf 'a\r\nb\r\n\377\376c\n' >x; chmod 755 x"),
        edit("x", "a\nb\n", "a\nB\n"),
    )
    assert bench.file("x").read_bytes() == b"a\r\nB\r\n\xff\xfec\n"
    assert bench.file("x").stat().st_mode & 0o777 == 0o755


def test_no_path_and_no_link_leads_out_of_the_workspace(bench: Bench, slash_tmp: Path) -> None:
    secret = slash_tmp / "secret.txt"
    secret.write_text("decoy-4711")
    bench.job.folder.joinpath("x").write_text("decoy-4711")
    shown = do(
        bench,
        command(
            f"ln -s {slash_tmp} out; ln -s /etc etc; ln -s a/b inside; echo fine >real; ln -s real alias"
        ),
        read(str(secret)),
        read("out/secret.txt"),
        read("../../../etc/passwd"),
        read("/proc/self/environ"),
        write("out/new.txt", "x"),
        write("etc/new.txt", "x"),
        edit("out/secret.txt", "decoy", "x"),
        read("alias"),
        command(f"cat {secret} out/secret.txt"),
    )
    assert "decoy-4711" not in json.dumps(shown)
    assert "does not exist" in shown[1]  # inside, /tmp is the workspace's own
    assert "does not exist" in shown[2]
    for text in shown[3:5] + shown[6:7]:
        assert "outside the workspace" in text
    assert "does not exist" in shown[7]
    assert shown[8] == "1\tfine"
    assert secret.read_text() == "decoy-4711"
    assert [path.name for path in slash_tmp.iterdir()] == ["secret.txt"]


def test_the_forge_is_read_for_the_model_and_cleaned(bench: Bench) -> None:
    shown = do(bench, call("forge_api", {"path": "issues/3", "params": {"page": 2, "all": True}}))
    assert bench.forge.asked == [("octo/widgets", "issues/3", {"page": "2", "all": "true"})]
    assert '"body": "shown"' in shown[0]
    assert "hidden" not in shown[0]
    assert "untrusted" in shown[0]


def test_what_the_forge_refuses_is_told_to_the_model(bench: Bench) -> None:
    bench.forge.answer = ForgeError("issues/99: not found (404)", status=404)
    assert do(bench, call("forge_api", {"path": "issues/99"}))[0] == "issues/99: not found (404)"


def test_skills_are_listed_and_read(bench: Bench) -> None:
    bench.prices = {"context": 128_000}
    shown = do(
        bench, call("read_skill", {"name": "systematic-debugging"}), call("read_skill", {"name": "../x"})
    )
    assert len(shown[0]) > 200
    assert "There is no guide" in shown[1]
    assert bench.server is not None
    described = [
        tool["function"]["description"]
        for tool in bench.server.asked[0].body["tools"]
        if tool["function"]["name"] == "read_skill"
    ]
    assert "- systematic-debugging: Finds the cause" in described[0]


def test_no_guide_is_offered_to_a_model_with_a_small_window(bench: Bench) -> None:
    shown = do(bench, call("read_skill", {"name": "systematic-debugging"}))
    assert shown[0] == "There are no guides here."
    assert bench.server is not None
    offered = {tool["function"]["name"] for tool in bench.server.asked[0].body["tools"]}
    assert offered == {"run_command", "read_file", "search", "write_file", "edit_file", "forge_api", "finish"}


@pytest.mark.parametrize("content", ["\ud800 half", "ünï — 漢字 😀", "\x00nul"])
def test_any_text_can_be_written(bench: Bench, content: str) -> None:
    do(bench, write("a.txt", content))
    assert bench.file("a.txt").read_bytes() == content.replace("\ud800", "\ufffd").encode()
