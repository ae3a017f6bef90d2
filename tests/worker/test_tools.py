"""The tools, in a real sandbox: what they do, what they refuse, and what a huge output becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sprint.demo import replies
from sprint.demo.replies import call
from sprint.errors import ForgeError
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


def test_a_command_that_takes_too_long_is_killed_with_what_it_said(bench: Bench) -> None:
    bench.limit(command_seconds=1.0)
    shown = do(bench, command("echo begun; sleep 60", timeout=900), command("echo x; sleep 60", timeout=1.2))
    assert shown[0] == "begun\n[killed after 1 s; no command gets more]"
    assert "[killed after" in shown[1]


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
    assert shown[1].startswith("100000\n100001\n100002\n[lines 100000 to 100002 of 200000; go on with offset")
    assert shown[2].startswith("200000\n")
    whole = (bench.job.folder / "outputs" / "001.txt").read_text().splitlines()
    assert len(whole) == 200_000
    assert bench.events("tool")[0]["output"] == "outputs/001.txt"
    assert not (bench.job.folder / "outputs" / "003.txt").exists()


def test_outputs_do_not_fill_the_runners_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sprint.worker.local.output.MOST_KEPT", 500_000)
    shown = do(bench, *[command(f"seq {n} 80000") for n in range(4)])
    kept = sum(path.stat().st_size for path in (bench.job.folder / "outputs").iterdir())
    assert 500_000 <= kept < 1_000_000
    assert "79999\n80000\n[exit code 0]" in shown[3]
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
    assert shown[1] == "line 1\nline 2\n[lines 1 to 2 of 3000; go on with offset 3]"
    assert shown[2] == "line 2999\nline 3000\n[lines 2999 to 3000 of 3000]"
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
        edit("a.py", "def f():\n  return 1", "x"),
        edit("a.py", "def ff():", "x"),
        edit("a.py", "zzzzzzz", "x"),
        edit("a.py", "def f", "def f"),
        edit("a.py", "def f():\n    return 1\n", "def f():\n    return 2\n"),
    )
    assert "2 times (at lines 2, 5)" in shown[1]
    assert "with other spaces" in shown[2]
    assert "    return 1" in shown[2]
    assert "(line 1):\ndef f():" in shown[3]
    assert "nothing in it is like it" in shown[4]
    assert "the same" in shown[5]
    assert shown[6] == "edited a.py at line 1: 2 lines became 2 lines"
    assert bench.file("a.py").read_text() == "def f():\n    return 2\n\ndef g():\n    return 1\n"


def test_edits_keep_line_ends_bytes_and_modes(bench: Bench) -> None:
    do(
        bench,
        command(r"printf 'a\r\nb\r\n\377\376c\n' >x; chmod 755 x"),
        edit("x", "a\nb\n", "a\nB\n"),
    )
    assert bench.file("x").read_bytes() == b"a\r\nB\r\n\xff\xfec\n"
    assert bench.file("x").stat().st_mode & 0o777 == 0o755


def test_no_path_and_no_link_leads_out_of_the_workspace(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("decoy-4711")
    bench.job.folder.joinpath("x").write_text("decoy-4711")
    shown = do(
        bench,
        command(f"ln -s {tmp_path} out; ln -s /etc etc; ln -s a/b inside; echo fine >real; ln -s real alias"),
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
    assert shown[8] == "fine"
    assert secret.read_text() == "decoy-4711"
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"secret.txt", "results"}


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
    assert "- systematic-debugging:" in described[0]


@pytest.mark.parametrize("content", ["\ud800 half", "ünï — 漢字 😀", "\x00nul"])
def test_any_text_can_be_written(bench: Bench, content: str) -> None:
    do(bench, write("a.txt", content))
    assert bench.file("a.txt").read_bytes() == content.replace("\ud800", "\ufffd").encode()
