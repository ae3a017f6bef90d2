"""Tokens and models are found in the promised places, in the promised order, and never shown."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sprint import credentials
from sprint.config import Config, ForgeConfig, ModelConfig, load, resolve
from sprint.credentials import forge_token, ollama
from sprint.credentials.endpoints import OPENAI, OPENROUTER, model_endpoints
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import Endpoint, Secret
from sprint.errors import ConfigError, ModelError, ModelTrouble
from sprint.first_look import forge_of
from tests.around import around
from tests.servers.loopback import Answer, LoopbackServer, Request, json_answer

GITEA = ForgeConfig(kind="gitea", url="https://git.example.org")
GITHUB = ForgeConfig(kind="github")
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing answers


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return Path(os.environ["HOME"])


def config_with(model: ModelConfig | None, tmp_path: Path) -> Config:
    from msgspec.structs import replace

    return replace(load(None, around(tmp_path)), model=model)


@pytest.fixture
def models(tmp_path: Path, home: Path) -> Callable[..., tuple[Endpoint, ...]]:
    def find(model: ModelConfig | None = None, **environ: str) -> tuple[Endpoint, ...]:
        return model_endpoints(config_with(model, tmp_path), around(home, {"OLLAMA_HOST": NOBODY, **environ}))

    return find


Find = Callable[..., tuple[Endpoint, ...]]


def token_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


# --- tokens ------------------------------------------------------------------------------------


def test_a_configured_file_comes_before_everything(tmp_path: Path, home: Path) -> None:
    file = token_file(tmp_path / "t", " abc123 \r\n")
    forge = ForgeConfig(kind="gitea", url=GITEA.url, token_file=str(file))
    assert forge_token("h", forge, around(home, {"GITEA_TOKEN": "other"})) == Secret("abc123")


def test_a_configured_variable_comes_before_what_is_found(home: Path) -> None:
    forge = ForgeConfig(kind="github", token_env="MY_TOKEN")
    both = around(home, {"MY_TOKEN": "abc", "GITHUB_TOKEN": "other"})
    assert forge_token("h", forge, both) == Secret("abc")


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (ForgeConfig(kind="github", token_env="MY_TOKEN"), r"forges.h.token_env: \$MY_TOKEN is not set"),
        (
            ForgeConfig(kind="github", token_file="/nowhere/t"),
            "forges.h.token_file: cannot read /nowhere/t: No such file or directory; write the secret there",
        ),
        (
            ForgeConfig(kind="github", token_file="/"),
            "forges.h.token_file: cannot read /: Is a directory; see that",
        ),
    ],
)
def test_a_configured_place_without_a_token_is_an_error(home: Path, forge: ForgeConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        forge_token("h", forge, around(home, {"GITHUB_TOKEN": "not a way out"}))


@pytest.mark.parametrize("value", ["two words", "tökén", "line\nline", "nul\x00", "x" * 20_000])
def test_what_no_header_can_carry_is_refused_and_not_shown(tmp_path: Path, home: Path, value: str) -> None:
    file = token_file(tmp_path / "t", value)
    for forge, environ in (
        (ForgeConfig(kind="github", token_file=str(file)), {}),
        (GITHUB, {"GITHUB_TOKEN": value}),
    ):
        with pytest.raises(ConfigError, match="no usable secret") as caught:
            forge_token("h", forge, around(home, environ))
        assert value not in str(caught.value)


def test_an_empty_file_is_named(tmp_path: Path, home: Path) -> None:
    file = token_file(tmp_path / "t", "\n")
    with pytest.raises(ConfigError, match="is empty; write the secret there"):
        forge_token("h", ForgeConfig(kind="github", token_file=str(file)), around(home))


def test_a_file_that_everybody_can_read_is_used_with_a_warning(
    tmp_path: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forge = ForgeConfig(kind="github", token_file=str(token_file(tmp_path / "t", "abc", 0o644)))
    assert forge_token("h", forge, around(home)) == Secret("abc")
    assert f"chmod 600 {tmp_path / 't'}" in caplog.text
    assert "abc" not in caplog.text
    caplog.clear()
    (tmp_path / "t").chmod(0o600)
    forge_token("h", forge, around(home))
    assert not caplog.text


def test_giteas_token_is_found_in_the_environment_then_with_hermes(home: Path) -> None:
    assert forge_token("h", GITEA, around(home)) is None
    token_file(home / ".hermes/gitea_token_vps", "from-hermes\n")
    assert forge_token("h", GITEA, around(home)) == Secret("from-hermes")
    assert forge_token("h", GITEA, around(home, {"GITEA_TOKEN": "from-env"})) == Secret("from-env")


def test_giteas_token_goes_to_no_other_server(home: Path) -> None:
    token_file(home / ".hermes/gitea_token_vps", "from-hermes\n")
    environ = {"GITEA_URL": "https://git.example.org/api/v1", "GITEA_TOKEN": "secret"}
    assert forge_token("h", GITEA, around(home, environ)) == Secret("secret")
    other = ForgeConfig(kind="gitea", url="https://evil.example")
    assert forge_token("h", other, around(home, environ)) is None


def test_a_token_whose_server_nothing_names_is_told(home: Path) -> None:
    """As the scripts before it had it: else another forge would be asked, without any."""

    def asked(**environ: str) -> None:
        config = load(None, around(home, environ))
        forge_of(config, resolve(config, "acme/widgets"), around(home, environ))

    asked()
    with pytest.raises(ConfigError, match=r"\$GITEA_TOKEN has a token .* GITEA_URL has to name"):
        asked(GITEA_TOKEN="secret")
    token_file(home / ".hermes/gitea_token_vps", "from-hermes\n")
    with pytest.raises(ConfigError, match=r"~/.hermes/gitea_token_vps has a token"):
        asked()
    asked(GITHUB_TOKEN="a")
    asked(GITEA_URL="https://git.example.org")


def test_githubs_token_is_found_in_this_order(home: Path) -> None:
    assert forge_token("h", GITHUB, around(home, {"GITHUB_TOKEN": "a", "GH_TOKEN": "b"})) == Secret("a")
    assert forge_token("h", GITHUB, around(home, {"GITHUB_TOKEN": " ", "GH_TOKEN": "b"})) == Secret("b")


def test_an_enterprise_server_gets_only_its_own_token(home: Path) -> None:
    server = ForgeConfig(kind="github", url="https://git.corp.example")
    assert forge_token("h", server, around(home, {"GITHUB_TOKEN": "a", "GH_TOKEN": "b"})) is None
    assert forge_token("h", server, around(home, {"GH_ENTERPRISE_TOKEN": "c"})) == Secret("c")


@pytest.fixture
def fake_gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def install(body: str) -> None:
        program = tmp_path / "bin" / "gh"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return install


def test_gh_is_asked_with_the_operators_home_and_nothing_else(
    home: Path, fake_gh: Callable[[str], None]
) -> None:
    fake_gh('[ "$*" = "auth token --hostname github.com" ] && echo "$HOME|$GH_CONFIG_DIR|${LEAK-none}"')
    environ = {"GH_CONFIG_DIR": "/gh", "LEAK": "seen"}
    assert forge_token("h", GITHUB, around(home, environ)) == Secret(f"{home}|/gh|none")


@pytest.mark.parametrize("body", ["exit 1", "echo not logged in >&2; exit 4", "true", "echo gho_x; exit 1"])
def test_a_gh_without_a_login_is_no_token(home: Path, fake_gh: Callable[[str], None], body: str) -> None:
    fake_gh(body)
    assert forge_token("h", GITHUB, around(home)) is None


def test_a_gh_that_hangs_is_given_up(
    home: Path, fake_gh: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gh("exec sleep 60")
    monkeypatch.setattr(credentials, "_GH_SECONDS", 0.2)
    assert forge_token("h", GITHUB, around(home)) is None


# --- models ------------------------------------------------------------------------------------


def test_the_configured_model_with_its_fallbacks(models: Find, tmp_path: Path) -> None:
    from sprint.config import Price

    key = token_file(tmp_path / "key", "k2")
    model = ModelConfig(
        name="one",
        base_url="https://a.example/v1",
        api_key_env="A_KEY",
        price=Price(input=1, output=2, cached=0.5),
        context=1000,
        temperature=0.3,
        max_tokens=2000,
        extra={"top_k": 20},
        fallbacks=(ModelConfig(name="two", base_url="http://gpu-box:8000/v1", api_key_file=str(key)),),
    )
    first, second = models(model, A_KEY="k1", OPENAI_API_KEY="other")
    assert (first.name, first.base_url, first.key) == ("one", "https://a.example/v1", Secret("k1"))
    assert (first.input_price, first.output_price, first.cached_price, first.context) == (1, 2, 0.5, 1000)
    assert (first.temperature, first.max_tokens, first.extra) == (0.3, 2000, {"top_k": 20})
    assert (second.name, second.key, second.input_price, second.context) == ("two", Secret("k2"), None, None)
    assert first.source == "model in the configuration"
    assert second.source == "model.fallbacks[0] in the configuration"


def test_a_key_is_sent_to_no_server_by_guess(models: Find) -> None:
    with pytest.raises(ConfigError, match=r"model\.base_url: which server is the key for"):
        models(ModelConfig(name="x", api_key_env="DEEPSEEK_API_KEY"), DEEPSEEK_API_KEY="k")
    (local,) = models(ModelConfig(name="x", base_url="http://gpu-box:8000/v1"), OPENAI_API_KEY="k")
    assert local.key != Secret("k")
    (same,) = models(
        ModelConfig(name="x", base_url="http://gpu-box:8000/v1"),
        OPENAI_API_KEY="k",
        OPENAI_BASE_URL="http://gpu-box:8000/v1/",
    )
    assert same.key == Secret("k")


def test_known_servers_take_their_own_key(models: Find) -> None:
    (openrouter,) = models(ModelConfig(base_url=OPENROUTER), OPENROUTER_API_KEY="r", OPENAI_API_KEY="o")
    assert (openrouter.key, openrouter.name) == (Secret("r"), "qwen/qwen3-coder")
    (openai,) = models(ModelConfig(name="m", api_key_env="OPENAI_API_KEY"), OPENAI_API_KEY="o")
    assert (openai.base_url, openai.key) == (OPENAI, Secret("o"))
    with pytest.raises(ConfigError, match="needs a key"):
        models(ModelConfig(name="m", base_url=OPENAI))


def test_what_cannot_be_found_now_stands_in_no_other_models_way(
    models: Find, caplog: pytest.LogCaptureFixture
) -> None:
    there = ModelConfig(name="a", base_url="http://localhost:1/v1")
    found_nowhere = ModelConfig(name="b")
    for chain in (replace(there, fallbacks=(found_nowhere,)), replace(found_nowhere, fallbacks=(there,))):
        caplog.clear()
        assert [endpoint.name for endpoint in models(chain)] == ["a"]
        assert "no model: none configured" in caplog.text
    with pytest.raises(ModelError, match="no model: none configured"):
        models(replace(found_nowhere, fallbacks=(found_nowhere,)))


def test_a_missing_key_of_a_fallback_is_named_by_its_path(models: Find) -> None:
    model = ModelConfig(
        name="a",
        base_url="http://localhost:1/v1",
        fallbacks=(ModelConfig(name="b", base_url="http://localhost:2/v1", api_key_env="B_KEY"),),
    )
    with pytest.raises(ConfigError, match=r"model.fallbacks\[0\].api_key_env: \$B_KEY is not set"):
        models(model)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"OPENAI_API_KEY": "o", "OPENROUTER_API_KEY": "r"},
            ("gpt-5.4", "https://api.openai.com/v1", "o", "OPENAI_API_KEY"),
        ),
        (
            {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": "https://x.example/v1/", "OPENAI_MODEL": "m"},
            ("m", "https://x.example/v1", "o", "OPENAI_API_KEY"),
        ),
        (
            {"OPENROUTER_API_KEY": "r", "OPENAI_MODEL": "not-for-it"},
            ("qwen/qwen3-coder", "https://openrouter.ai/api/v1", "r", "OPENROUTER_API_KEY"),
        ),
        (
            {"OPENAI_API_KEY": "o", "SPRINT_MODEL": "s", "OPENAI_MODEL": "m"},
            ("s", "https://api.openai.com/v1", "o", "OPENAI_API_KEY"),
        ),
        (
            {"OPENAI_BASE_URL": "http://gpu-box:8000/v1", "SPRINT_MODEL": "s"},
            ("s", "http://gpu-box:8000/v1", NO_KEY.reveal(), "OPENAI_BASE_URL"),
        ),
    ],
)
def test_the_environment_in_its_order(
    models: Find, environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    (found,) = models(**environ)
    assert (found.name, found.base_url, found.key.reveal(), found.source) == expected


@contextlib.contextmanager
def listing(*names: str) -> Iterator[LoopbackServer]:
    """A server with these models, which wants a key for them."""

    def answer(request: Request) -> Answer:
        if request.headers.get("authorization") != "Bearer sk-own":
            return json_answer({"error": {"message": "no key"}}, 401)
        return json_answer({"object": "list", "data": [{"id": name} for name in names]})

    with LoopbackServer(answer) as server:
        yield server


def test_a_server_with_one_model_needs_no_name(models: Find) -> None:
    with listing("/models/q.gguf", "nomic-embed-text") as server:
        url = f"{server.url}/v1"
        (found,) = models(OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-own")
        assert found.name == "/models/q.gguf"
        (found,) = models(ModelConfig(base_url=url, api_key_env="OWN"), OWN="sk-own")
        assert (found.name, found.base_url) == ("/models/q.gguf", url)


def test_a_server_with_several_models_has_them_listed(models: Find) -> None:
    many = [f"m{number}" for number in range(20)]
    with listing("one", "two", *many) as server, pytest.raises(ConfigError) as caught:
        models(OPENAI_BASE_URL=f"{server.url}/v1", OPENAI_API_KEY="sk-own")
    assert "Set SPRINT_MODEL, or model.name in sprint.yaml; it has one, two, m0" in str(caught.value)
    assert "and 10 more" in str(caught.value)


@pytest.mark.parametrize(
    "environ", [{"OPENAI_BASE_URL": f"{NOBODY}/v1"}, {"OPENAI_BASE_URL": "https://x.example/v1"}]
)
def test_a_server_that_does_not_tell_its_models_is_the_models_fault(
    models: Find, environ: dict[str, str]
) -> None:
    with pytest.raises(ModelError, match=r"OPENAI_BASE_URL: which model at .*\? Set SPRINT_MODEL") as caught:
        models(**environ)
    assert (caught.value.exit_code, caught.value.kind) == (5, ModelTrouble.AWAY)
    with listing() as server, pytest.raises(ModelError, match=r"which models it has \(it answers 4"):
        models(OPENAI_BASE_URL=f"{server.url}/v1")


def test_a_name_alone_is_used_with_what_is_found(models: Find) -> None:
    (found,) = models(ModelConfig(name="mine"), OPENAI_API_KEY="o")
    assert (found.name, found.base_url) == ("mine", OPENAI)


# --- hermes ------------------------------------------------------------------------------------


def write_hermes(home: Path, config: Any, auth: Any = None) -> None:
    folder = home / ".hermes"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config if isinstance(config, str) else json.dumps(config))
    if auth is not None:
        (folder / "auth.json").write_text(auth if isinstance(auth, str) else json.dumps(auth))


NOUS = {"model": {"default": "Hermes-5", "provider": "nous", "base_url": "https://elsewhere.example"}}


def nous(expires: Any) -> dict[str, Any]:
    return {"providers": {"nous": {"agent_key": "nk", "agent_key_expires_at": expires, "access_token": "no"}}}


@pytest.mark.parametrize(
    "expires",
    [
        (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        (datetime.now(UTC) + timedelta(hours=1)).timestamp(),
        None,
        "soon",
    ],
    ids=["iso", "epoch", "absent", "garbage"],
)
def test_hermes_with_nous(models: Find, home: Path, expires: Any) -> None:
    write_hermes(home, NOUS, nous(expires))
    (found,) = models()
    assert (found.name, found.key) == ("Hermes-5", Secret("nk"))
    assert found.base_url == "https://inference-api.nousresearch.com/v1", "the key goes nowhere else"
    assert "hermes (nous)" in found.source


def test_hermes_with_an_expired_key_goes_on_to_ollama(
    models: Find, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_hermes(
        home, NOUS, nous((datetime.now(UTC) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z"))
    )
    with pytest.raises(ModelError, match="nothing usable from hermes, and Ollama does not answer"):
        models()
    assert "expired" in caplog.text
    assert "nk" not in caplog.text


@pytest.mark.parametrize(
    ("config", "auth", "expected"),
    [
        (
            {"model": {"default": "m", "provider": "custom", "base_url": "http://b:1/v1/", "api_key": "k"}},
            None,
            ("m", "http://b:1/v1", "k"),
        ),
        (
            {"model": {"default": "m", "base_url": "http://b:1/v1"}},
            None,
            ("m", "http://b:1/v1", "no-key-needed"),
        ),
        (
            {
                "model": {"default": "m", "provider": "custom:Box"},
                "custom_providers": [
                    "x",
                    {"name": "box", "base_url": "http://b:2/v1", "api_key": "${BOX_KEY}"},
                ],
            },
            None,
            ("m", "http://b:2/v1", "from-env"),
        ),
        (
            {"model": {"default": "m", "provider": "openrouter"}},
            {"credential_pool": {"openrouter": [{"access_token": ""}, {"access_token": "pk"}]}},
            ("m", "https://openrouter.ai/api/v1", "pk"),
        ),
        (
            {"model": {"default": "m", "provider": "other", "base_url": "https://o.example/v1"}},
            {"credential_pool": {"other": [{"access_token": "ok"}]}},
            ("m", "https://o.example/v1", "ok"),
        ),
        (
            {"model": {"default": "m", "provider": "auto"}},
            {"active_provider": "nous", **nous(None)},
            ("m", "https://inference-api.nousresearch.com/v1", "nk"),
        ),
        ({"model": {"default": "m", "provider": "ollama"}}, None, ("m", f"{NOBODY}/v1", "ollama")),
    ],
)
def test_hermes_with_other_providers(
    models: Find, home: Path, config: Any, auth: Any, expected: tuple[str, str, str]
) -> None:
    write_hermes(home, config, auth)
    (found,) = models(BOX_KEY="from-env")
    assert (found.name, found.base_url, found.key.reveal()) == expected


def test_hermes_elsewhere_and_with_another_model(models: Find, home: Path, tmp_path: Path) -> None:
    write_hermes(home, NOUS, nous(None))
    (home / ".hermes").rename(tmp_path / "moved")
    (found,) = models(HERMES_HOME=str(tmp_path / "moved"), SPRINT_MODEL="mine")
    assert (found.name, found.key) == ("mine", Secret("nk"))


def test_hermes_without_a_models_name(models: Find, home: Path) -> None:
    write_hermes(home, {"model": {"provider": "nous"}}, nous(None))
    with pytest.raises(ConfigError, match=r"model\.default is missing; set it, or SPRINT_MODEL"):
        models()


@pytest.mark.parametrize(
    ("config", "auth", "warning"),
    [
        ("model: [unclosed", None, "not valid YAML"),
        ("[1, 2]", None, ""),
        ("model: 7", None, ""),
        (NOUS, "{not json", "not valid JSON"),
        (NOUS, [1], "has no usable key"),
        (NOUS, {"providers": {"nous": "?"}}, "has no usable key"),
        (
            {"model": {"default": "m", "provider": "openrouter"}},
            {"credential_pool": {"openrouter": {}}},
            "no usable key",
        ),
        ({"model": {"default": "m", "provider": "unheard-of"}}, {"credential_pool": []}, "no usable address"),
        (
            {"model": {"default": "m", "provider": "custom", "base_url": "file:///x"}},
            None,
            "no usable address",
        ),
        ({"model": {"default": "m", "provider": "openai-codex"}}, nous(None), "only hermes can call"),
    ],
)
def test_hermes_files_that_are_of_no_use_stop_nothing(
    home: Path, config: Any, auth: Any, warning: str, caplog: pytest.LogCaptureFixture, models: Find,
    ollama_server: LoopbackServer,
) -> None:  # fmt: skip
    write_hermes(home, config, auth)
    caplog.set_level(logging.WARNING)
    (found,) = models(OLLAMA_HOST=ollama_server.url)
    assert found.source.startswith("Ollama at ")
    assert warning in caplog.text


# --- Ollama ------------------------------------------------------------------------------------

INSTALLED = {
    "llama3:8b": ["completion", "tools"],
    "old-coder:7b": ["completion"],
    "qwen3-coder:30b": ["tools"],
}


@pytest.fixture
def installed() -> dict[str, list[str] | None]:
    return dict(INSTALLED)


@pytest.fixture
def ollama_server(installed: dict[str, list[str] | None]) -> Iterator[LoopbackServer]:
    def handle(request: Request) -> Answer:
        if request.path == "/api/tags":
            return json_answer({"models": [{"name": name} for name in installed]})
        return json_answer({"capabilities": installed[request.json()["model"]]})

    with LoopbackServer(handle) as server:
        yield server


def test_ollama_comes_last_with_a_coder_that_calls_tools(models: Find, ollama_server: LoopbackServer) -> None:
    (found,) = models(OLLAMA_HOST=ollama_server.url.removeprefix("http://"), HTTP_PROXY=NOBODY)
    assert (found.name, found.base_url, found.key.reveal()) == (
        "qwen3-coder:30b",
        f"{ollama_server.url}/v1",
        "ollama",
    )


def test_ollama_is_not_asked_while_something_else_is_there(
    models: Find, ollama_server: LoopbackServer
) -> None:
    models(OLLAMA_HOST=ollama_server.url, OPENAI_API_KEY="o")
    assert ollama_server.requests == []


def test_the_models_name_can_be_given(models: Find, ollama_server: LoopbackServer) -> None:
    (found,) = models(OLLAMA_HOST=ollama_server.url, SPRINT_MODEL="llama3:8b")
    assert found.name == "llama3:8b"


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"a": ["tools"], "b-coder": []}, "a"),
        ({"a": [], "gemma4:latest": None}, "gemma4:latest"),
        ({"a": None, "b-coder": None}, "b-coder"),
    ],
)
def test_the_choice_among_what_is_installed(
    models: Find,
    ollama_server: LoopbackServer,
    installed: dict[str, list[str] | None],
    there: dict[str, list[str] | None],
    expected: str,
) -> None:
    installed.clear()
    installed.update(there)
    assert models(OLLAMA_HOST=ollama_server.url)[0].name == expected


def test_an_ollama_without_models_says_what_to_run(
    models: Find, ollama_server: LoopbackServer, installed: dict[str, list[str] | None]
) -> None:
    installed.clear()
    with pytest.raises(ModelError, match="has no model; run: ollama pull"):
        models(OLLAMA_HOST=ollama_server.url)


def test_no_model_at_all_names_every_way_to_one(models: Find) -> None:
    with pytest.raises(ModelError) as caught:
        models()
    for way in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "OPENAI_BASE_URL", "hermes", "Ollama", "model:"):
        assert way in str(caught.value)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://localhost:11434"),
        ("0.0.0.0", "http://localhost:11434"),
        (":1234", "http://localhost:1234"),
        ("box", "http://box:11434"),
        ("box:1/", "http://box:1"),
        ("https://box.example:8443/", "https://box.example:8443"),
        ("[::1]:5", "http://[::1]:5"),
    ],
)
def test_ollamas_address(host: str, address: str) -> None:
    assert ollama.address(host) == address


def test_ollamas_address_that_is_none() -> None:
    with pytest.raises(ModelError, match="OLLAMA_HOST is no address"):
        ollama.address("box:port")


def test_no_secret_is_ever_logged(
    models: Find, home: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    write_hermes(home, NOUS, nous(None))
    shown = [repr(endpoint) for endpoint in (*models(), *models(OPENAI_API_KEY="sk-secret-1"))]
    forge_token("h", GITHUB, around(home, {"GITHUB_TOKEN": "sk-secret-2"}))
    text = caplog.text + "".join(shown)
    assert "from hermes" in text, "the log does say where the model is from"
    assert not [secret for secret in ("nk'", "sk-secret-1", "sk-secret-2") if secret in text]
