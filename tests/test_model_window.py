"""How much a model takes in, as the servers tell: Ollama's ways as they were measured, llama.cpp, lists."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sprint.domain import Endpoint, Secret
from sprint.model import inquiry
from tests.servers.loopback import Answer, LoopbackServer, Request, json_answer
from tests.servers.model import DemoModel, OllamaFacts

ONE, OTHER = (f"sha256-{letter * 64}" for letter in "ab")


@contextlib.contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[LoopbackServer]:
    with LoopbackServer(answer, lambda: ["sk-own"]) as server:
        yield server


def endpoint_at(server: LoopbackServer, name: str = "m", **more: Any) -> Endpoint:
    return Endpoint(name, f"{server.url}/v1", Secret("sk-own"), **more)


@dataclass
class Ollama:
    """Lists a runner by the name that was loaded first, and tells the context of loaded ones only."""

    weights: dict[str, str]
    context: int = 4096
    running: list[str] = field(default_factory=list)  # names, each with weights of its own
    loads: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        if request.path == "/api/ps":
            numbered = enumerate(self.running)
            listed = [{"name": n, "model": n, "context_length": self.context + i} for i, n in numbered]
            return json_answer({"models": listed})
        if request.path == "/api/show":
            name = str(request.json()["model"])
            blob = f"/root/.ollama/models/blobs/{self.weights[self.full(name)]}"
            return json_answer({"modelfile": f"# FROM {name}\n\nFROM {blob}\nTEMPLATE x"})
        if request.path == "/api/generate":
            return self.load(self.full(str(request.json()["model"])))
        return json_answer({"error": "not found"}, 404)

    @staticmethod
    def full(name: str) -> str:
        return name if ":" in name else f"{name}:latest"

    def load(self, name: str) -> Answer:
        if name not in self.weights:
            return json_answer({"error": f"model '{name}' not found"}, 404)
        self.loads.append(name)
        if self.weights[name] not in [self.weights[other] for other in self.running]:
            self.running.append(name)
        return json_answer({"model": name, "response": "", "done": True, "done_reason": "load"})


def test_ollama_tells_its_real_window(model_server: Callable[..., DemoModel]) -> None:
    server = model_server([], ollama=OllamaFacts(trained_context=131_072, context=4096))
    endpoint = Endpoint(server.name, server.base_url, Secret(server.key), context=65_536)
    assert inquiry.window(endpoint) == 4096
    assert inquiry.ollama_trained(endpoint) == 131_072
    hosted = model_server([])
    assert inquiry.window(Endpoint(hosted.name, hosted.base_url, Secret(hosted.key))) is None


def test_a_model_that_is_not_loaded_is_loaded_so_that_ollama_tells() -> None:
    ollama = Ollama({"smollm2:latest": ONE})
    with serving(ollama) as server:
        assert inquiry.window(endpoint_at(server, "smollm2")) == 4096
        assert inquiry.window(endpoint_at(server, "smollm2:latest")) == 4096
    assert ollama.loads == ["smollm2:latest"]


def test_the_runner_that_two_names_share_is_found() -> None:
    ollama = Ollama(
        {"big:latest": OTHER, "smollm2:latest": ONE, "smoltools:latest": ONE},
        running=["big:latest", "smollm2:latest"],
    )
    with serving(ollama) as server:
        assert inquiry.window(endpoint_at(server, "smoltools")) == 4097
    assert ollama.running == ["big:latest", "smollm2:latest"]


def test_a_model_that_ollama_does_not_have_has_no_window() -> None:
    with serving(Ollama({"smollm2:latest": ONE}, running=["smollm2:latest"])) as server:
        assert inquiry.window(endpoint_at(server, "absent")) is None


def llama_cpp(n_ctx: int | None, per_slot: int | None) -> Callable[[Request], Answer]:
    def answer(request: Request) -> Answer:
        if request.path == "/v1/models":
            meta = {"n_ctx_train": 131_072, **({"n_ctx": n_ctx} if n_ctx else {})}
            return json_answer({"data": [{"id": "/models/q.gguf", "meta": meta}]})
        if request.path == "/props" and per_slot:
            return json_answer({"default_generation_settings": {"n_ctx": per_slot}, "total_slots": 4})
        return json_answer({"error": {"message": "File Not Found"}}, 404)

    return answer


@pytest.mark.parametrize(
    ("n_ctx", "per_slot", "window"),
    [(32_768, 8192, 8192), (32_768, None, 32_768), (None, 8192, 8192), (None, None, None)],
)
def test_llama_cpp_tells_what_one_request_gets(
    n_ctx: int | None, per_slot: int | None, window: int | None
) -> None:
    with serving(llama_cpp(n_ctx, per_slot)) as server:
        assert inquiry.window(endpoint_at(server)) == window


@pytest.mark.parametrize(
    ("data", "window"),
    [
        ([{"id": "m", "max_model_len": 40_960}], 40_960),
        ([{"id": "other", "context_length": 1}, {"id": "m", "context_length": 200_000}], 200_000),
        ([{"id": "other", "context_length": 1}, {"id": "another", "context_length": 2}], None),
        ([{"id": "m", "context_length": True}], None),
        ([{"id": "m", "context_length": -1, "meta": "?"}], None),
        ("?", None),
    ],
)
def test_lists_of_models_tell_it_in_several_ways(data: Any, window: int | None) -> None:
    def answer(request: Request) -> Answer:
        return json_answer({"data": data} if request.path == "/v1/models" else {"models": "?"})

    with serving(answer) as server:
        assert inquiry.window(endpoint_at(server)) == window


def test_only_what_needs_the_key_gets_it() -> None:
    with serving(llama_cpp(None, None)) as server:
        inquiry.window(endpoint_at(server))
        brought = {request.path: request.has_token for request in server.requests}
    assert brought == {"/api/ps": False, "/v1/models": True, "/props": True}


def test_servers_that_are_away_or_answer_nonsense_tell_nothing() -> None:
    assert inquiry.window(Endpoint("m", "http://127.0.0.1:9/v1", Secret(""))) is None
    with serving(lambda request: Answer(200, b"<html>", {})) as server:
        assert inquiry.window(endpoint_at(server)) is None
