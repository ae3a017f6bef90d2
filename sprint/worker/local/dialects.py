"""Tool calls that a model wrote as text, in the ways that models were trained to write them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from sprint.worker.local.tools import TOOLS, BadCall, parse, tool_named

_THOUGHT = re.compile(r"<(think|thinking|thought)>.*?(</\1>|\Z)", re.S | re.I)
_LONGEST = 200_000


class Written(Struct, frozen=True):
    """A call found in text: `arguments` as JSON text; `start` is where its notation begins."""

    name: str
    arguments: str
    start: int


def without_thoughts(text: str) -> str:
    """The text without what the model thought aloud in it; an end mark alone ends a thought too."""
    text = _THOUGHT.sub("", text)
    before, mark, after = text.rpartition("</think>")
    return (after if mark else before or text).strip()


def find(text: str) -> tuple[Written, ...] | None:
    """The calls in a text; None where there are none, () where something looks like one and is unclear.

    Only what leaves no doubt is a call: a known notation, a tool that exists, arguments that fit.
    """
    text = text[:_LONGEST]
    for notation in _NOTATIONS:
        found = list(notation(text))
        if found:
            return tuple(found) if all(_fits(call) for call in found) else ()
    return () if _SUSPICIOUS.search(text) else None


def _fits(call: Written) -> bool:
    try:
        parse(call.name, call.arguments)
    except BadCall:
        return False
    return True


_SUSPICIOUS = re.compile(
    r"<tool_call|<function=|<invoke\b|\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_call|<\uff5ctool\u2581call|```tool_code"
    r"|\"(?:name|function|tool)\"\s*:\s*\"(?:" + "|".join(TOOLS) + r")\""
)


def _written(name: Any, arguments: Any, start: int) -> Written:
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return Written(tool_named(str(name)), arguments, start)


def _from_json(text: str, start: int) -> Iterator[Written]:
    """Calls in JSON: one or a list of {"name", "arguments" or "parameters"}, or the API's own shape."""
    text = text.strip()
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return
    if text[end:].strip(" \n;`"):
        return
    if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        function = item.get("function")
        one = function if isinstance(function, dict) else item
        name = one.get("name") or one.get("tool") or one.get("function")
        if not isinstance(name, str):
            continue
        for key in ("arguments", "parameters", "args", "input"):
            if key in one:
                yield _written(name, one[key], start)
                break


def _in_parameters(body: str, pattern: str) -> dict[str, str]:
    return {key: _value(value) for key, value in re.findall(pattern, body, re.S)}


def _value(text: str) -> str:
    """A parameter's text without the line breaks that its notation puts around it, both or none."""
    return text[1:].removesuffix("\n") if text.startswith("\n") else text


def _tool_call_tags(text: str) -> Iterator[Written]:
    """Hermes and Qwen: JSON, or <function=..>, or GLM's keys and values, between <tool_call> tags."""
    for match in re.finditer(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", text, re.S):
        body, start = match[1], match.start()
        inner = list(_function_tags(body)) or list(_from_json(body, start))
        if not inner and "<arg_key>" in body:
            name = body.split("<arg_key>")[0].strip()
            pattern = r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>"
            inner = [_written(name, _in_parameters(body, pattern), start)]
        yield from (Written(call.name, call.arguments, start) for call in inner)


def _function_tags(text: str) -> Iterator[Written]:
    """Qwen3-Coder's <function=name><parameter=key>, and Llama's <function=name>{json}</function>."""
    for match in re.finditer(r"<function=([\w.:-]+)>(.*?)(?:</function>|(?=<function=)|\Z)", text, re.S):
        name, body = match[1], match[2]
        values = _in_parameters(body, r"<parameter=([\w-]+)>(.*?)</parameter>")
        if values or not body.strip():
            yield _written(name, values, match.start())
        elif body.strip().startswith("{"):
            yield _written(name, body.strip(), match.start())


def _invoke_tags(text: str) -> Iterator[Written]:
    """<invoke name="..."><parameter name="...">, with or without a prefix to the tags."""
    for match in re.finditer(r"<([^\s<>]*?)invoke name=\"([^\"]+)\">(.*?)</\1invoke>", text, re.S):
        pattern = r"<[^\s<>]*?parameter name=\"([^\"]+)\"[^>]*>(.*?)</[^\s<>]*?parameter>"
        yield _written(match[2], _in_parameters(match[3], pattern), match.start())


def _special_tokens(text: str) -> Iterator[Written]:
    """DeepSeek, Kimi, Mistral and Llama: their own tokens, which a server should have taken out."""
    deepseek = (
        r"<\uff5ctool\u2581call\u2581begin\uff5c>(?:function<\uff5ctool\u2581sep\uff5c>)?([\w.:-]+)"
        r"(?:<\uff5ctool\u2581sep\uff5c>)?\s*(.*?)<\uff5ctool\u2581call\u2581end\uff5c>"
    )
    kimi = r"<\|tool_call_begin\|>\s*([\w.:-]+)\s*<\|tool_call_argument_begin\|>(.*?)<\|tool_call_end\|>"
    mistral = r"\[TOOL_CALLS\]\s*([\w.:-]+)\s*(?:\[ARGS\])?\s*(\{.*?\})\s*(?=\[TOOL_CALLS\]|\Z)"
    for pattern in (deepseek, kimi, mistral):
        for match in re.finditer(pattern, text, re.S):
            yield _written(match[1], match[2], match.start())
    for mark in ("[TOOL_CALLS]", "<|python_tag|>"):
        if (at := text.find(mark)) >= 0:
            yield from _from_json(text[at + len(mark) :].removesuffix("<|eom_id|>"), at)


def _python_block(text: str) -> Iterator[Written]:
    """Gemma's ```tool_code block and Llama 4's [name(key=value)]: calls with keywords and plain values."""
    block = re.search(r"```tool_code\s*\n(.*?)(?:```|\Z)", text, re.S)
    start = block.start() if block else 0
    try:
        tree = ast.parse((block[1] if block else text).strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for statement in tree.body:
        if not isinstance(statement, ast.Expr):
            return
        value = statement.value
        try:
            yield from _python_calls(value.elts if isinstance(value, ast.List) else [value], start)
        except RecursionError:  # what was parsed can be too deep to be written again
            return


def _python_calls(nodes: list[ast.expr], start: int) -> Iterator[Written]:
    for node in nodes:
        called = _unprinted(node)
        if not isinstance(called, ast.Call) or called.args:
            continue
        try:
            arguments = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in called.keywords}
            yield _written(ast.unparse(called.func), json.loads(json.dumps(arguments)), start)
        except (ValueError, TypeError):
            continue


def _unprinted(node: ast.expr) -> ast.expr:
    """What is inside a print(...)."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "print" and node.args:
        return node.args[0]
    return node


def _json_block(text: str) -> Iterator[Written]:
    """A whole answer that is JSON, or one that ends with a single block of it."""
    blocks = list(re.finditer(r"```(?:json|tool_call)?\s*\n(.*?)(?:\n```|\Z)", text, re.S))
    if len(blocks) == 1 and not text[blocks[0].end() :].strip():
        yield from _from_json(blocks[0][1], blocks[0].start())
    elif not blocks and text.lstrip().startswith(("{", "[")):
        yield from _from_json(text, 0)


_NOTATIONS: tuple[Callable[[str], Iterator[Written]], ...] = (
    _tool_call_tags,
    _function_tags,
    _invoke_tags,
    _special_tokens,
    _json_block,
    _python_block,
)
