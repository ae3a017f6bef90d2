"""hermes' own model: set-ups as hermes 0.19 itself resolves them, and what wins."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sprint.config import ModelConfig, load
from sprint.credentials.endpoints import OPENAI, OPENROUTER, model_endpoints
from sprint.credentials.hermes_providers import KEYS_OF_HOSTS, NOUS_URL, ONLY_HERMES_CALLS, PROVIDERS
from sprint.domain import Endpoint
from sprint.errors import ConfigError, ModelError
from tests.around import around

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing answers
BOX = "http://box:8000/v1"
LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
NOUS_LOGIN = {"agent_key": "k-agent", "agent_key_expires_at": LATER, "access_token": "no"}
BEFORE = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def pool(provider: str, **entry: Any) -> dict[str, Any]:
    return {"credential_pool": {provider: [{"id": "a", "label": "x", "priority": 0, **entry}]}}


@pytest.fixture
def home() -> Path:
    return Path(os.environ["HOME"])


Find = Callable[..., tuple[Endpoint, ...]]


@pytest.fixture
def hermes(home: Path, tmp_path: Path) -> Find:
    """Writes hermes' files, and finds the model with these variables in the environment."""

    def find(
        config: Any, dotenv: str = "", auth: Any = None, model: ModelConfig | None = None, **environ: str
    ) -> tuple[Endpoint, ...]:
        folder = home / ".hermes"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(json.dumps(config))
        (folder / ".env").write_text(dotenv)
        (folder / "auth.json").write_text(json.dumps(auth or {}))
        ours = replace(load(None, around(home, cwd=tmp_path)), model=model)
        return model_endpoints(ours, around(home, {"OLLAMA_HOST": NOBODY, **environ}))

    return find


# name: (config.yaml, .env, auth.json, the environment, the model, its address, its key)
SETUPS: dict[str, tuple[Any, str, Any, dict[str, str], tuple[str, str, str]]] = {
    "openrouter, its key in .env": (
        {"model": {"default": "kimi-k2.5", "provider": "openrouter"}},
        "OPENROUTER_API_KEY=k-dotenv\n",
        None,
        {},
        ("kimi-k2.5", OPENROUTER, "k-dotenv"),
    ),
    "openrouter, its key in the environment": (
        {"model": {"default": "kimi-k2.5", "provider": "openrouter"}},
        "",
        None,
        {"OPENROUTER_API_KEY": "k-env"},
        ("kimi-k2.5", OPENROUTER, "k-env"),
    ),
    "openrouter, its key in the pool": (
        {"model": {"default": "kimi-k2.5", "provider": "openrouter"}},
        "",
        pool("openrouter", access_token="k-pool"),
        {},
        ("kimi-k2.5", OPENROUTER, "k-pool"),
    ),
    "openrouter, an address left from before": (
        {
            "model": {
                "default": "kimi-k2.5",
                "provider": "openrouter",
                "base_url": "http://localhost:11434/v1",
            }
        },
        "OPENROUTER_API_KEY=k-dotenv\n",
        None,
        {},
        ("kimi-k2.5", OPENROUTER, "k-dotenv"),
    ),
    "custom, its key in the file": (
        {"model": {"default": "m", "provider": "custom", "base_url": f"{BOX}/", "api_key": "k-file"}},
        "",
        None,
        {},
        ("m", BOX, "k-file"),
    ),
    "custom, without a key": (
        {"model": {"default": "m", "provider": "custom", "base_url": BOX}},
        "",
        None,
        {},
        ("m", BOX, "no-key-needed"),
    ),
    "custom, at a host whose key is in .env": (
        {"model": {"default": "m", "provider": "custom", "base_url": "https://api.groq.com/openai/v1"}},
        "GROQ_API_KEY=k-groq\n",
        None,
        {},
        ("m", "https://api.groq.com/openai/v1", "k-groq"),
    ),
    "an address alone": (
        {"model": {"default": "m", "base_url": BOX}},
        "",
        None,
        {},
        ("m", BOX, "no-key-needed"),
    ),
    "providers: with key_env": (
        {
            "model": {"default": "m", "provider": "box"},
            "providers": {"box": {"api": BOX, "key_env": "BOX_KEY"}},
        },
        "BOX_KEY=k-dotenv\n",
        None,
        {},
        ("m", BOX, "k-dotenv"),
    ),
    "providers: with a model of its own": (
        {
            "model": {"provider": "box"},
            "providers": {"box": {"base_url": BOX, "api_key": "k-file", "default_model": "own"}},
        },
        "",
        None,
        {},
        ("own", BOX, "k-file"),
    ),
    "custom_providers: with key_env": (
        {
            "model": {"default": "m", "provider": "custom:my-box"},
            "custom_providers": [{"name": "My Box", "base_url": BOX, "key_env": "BOX_KEY"}],
        },
        "export BOX_KEY='k-dotenv'  # of the box\n",
        None,
        {},
        ("m", BOX, "k-dotenv"),
    ),
    "custom_providers: by the plain name": (
        {
            "model": {"default": "m", "provider": "box"},
            "custom_providers": [{"name": "Box", "base_url": BOX, "api_key": "${BOX_KEY}"}],
        },
        "BOX_KEY=k-dotenv # of the box\n",
        None,
        {},
        ("m", BOX, "k-dotenv"),
    ),
    "custom_providers: its key in the pool": (
        {
            "model": {"default": "m", "provider": "custom:box"},
            "custom_providers": [{"name": "Box", "base_url": BOX}],
        },
        "",
        pool("custom:box", access_token="k-pool"),
        {},
        ("m", BOX, "k-pool"),
    ),
    "openai-api": (
        {"model": {"default": "gpt-5.4", "provider": "openai-api"}},
        "OPENAI_API_KEY=k-dotenv\n",
        None,
        {},
        ("gpt-5.4", OPENAI, "k-dotenv"),
    ),
    "openai-api, another key in the environment": (
        {"model": {"default": "gpt-5.4", "provider": "openai-api"}},
        "OPENAI_API_KEY=k-dotenv\n",
        None,
        {"OPENAI_API_KEY": "k-stale"},
        ("gpt-5.4", OPENAI, "k-dotenv"),
    ),
    "lmstudio": (
        {"model": {"default": "q", "provider": "lmstudio"}},
        "",
        None,
        {},
        ("q", "http://127.0.0.1:1234/v1", "no-key-needed"),
    ),
    "lmstudio elsewhere, with a key": (
        {"model": {"default": "q", "provider": "lm-studio", "base_url": "http://box:1234/api/v1"}},
        "LM_API_KEY=k-lm\n",
        None,
        {},
        ("q", "http://box:1234/v1", "k-lm"),
    ),
    "nous, by its login": (
        {"model": {"default": "Hermes-5", "provider": "nous"}},
        "",
        {
            "providers": {
                "nous": {"agent_key": "k-agent", "agent_key_expires_at": LATER, "access_token": "no"}
            }
        },
        {},
        ("Hermes-5", NOUS_URL, "k-agent"),
    ),
    "nous, by the pool": (
        {"model": {"default": "Hermes-5", "provider": "nous"}},
        "",
        pool("nous", access_token="no", agent_key="k-agent", agent_key_expires_at=LATER),
        {},
        ("Hermes-5", NOUS_URL, "k-agent"),
    ),
    "nous, its login run out and the pool's not": (
        {"model": {"default": "Hermes-5", "provider": "nous"}},
        "",
        {
            "providers": {"nous": {"agent_key": "k-old", "agent_key_expires_at": BEFORE}},
            **pool("nous", agent_key="k-agent", agent_key_expires_at=LATER),
        },
        {},
        ("Hermes-5", NOUS_URL, "k-agent"),
    ),
    "deepseek": (
        {"model": {"default": "d", "provider": "deepseek"}},
        "DEEPSEEK_API_KEY=k-dotenv\n",
        None,
        {},
        ("d", "https://api.deepseek.com/v1", "k-dotenv"),
    ),
    "zai at its other address": (
        {"model": {"default": "glm", "provider": "glm"}},
        "GLM_API_KEY=k-dotenv\nGLM_BASE_URL=https://open.bigmodel.cn/api/paas/v4\n",
        None,
        {},
        ("glm", "https://open.bigmodel.cn/api/paas/v4", "k-dotenv"),
    ),
    "kimi": (
        {"model": {"default": "k2", "provider": "kimi"}},
        "KIMI_API_KEY=k-dotenv\n",
        None,
        {},
        ("k2", "https://api.moonshot.ai/v1", "k-dotenv"),
    ),
    "a name alone, with a key in .env": (
        {"model": "kimi-k2.5"},
        "OPENROUTER_API_KEY=k-dotenv\nOPENAI_API_KEY=k-other\n",
        None,
        {},
        ("kimi-k2.5", OPENROUTER, "k-dotenv"),
    ),
    "a name alone, with a login": (
        {"model": {"default": "Hermes-5", "provider": "auto"}},
        "",
        {"active_provider": "nous", "providers": {"nous": {"agent_key": "k-agent"}}},
        {},
        ("Hermes-5", NOUS_URL, "k-agent"),
    ),
    "ollama elsewhere": (
        {"model": {"default": "m", "provider": "ollama", "base_url": "http://box:11434/v1"}},
        "",
        None,
        {},
        ("m", "http://box:11434/v1", "ollama"),
    ),
}
LYING_AROUND = {"OPENAI_API_KEY": "sk-of-openai", "OPENROUTER_API_KEY": "sk-of-openrouter"}


@pytest.mark.parametrize("name", SETUPS)
def test_what_hermes_itself_calls_is_called(hermes: Find, name: str) -> None:
    config, dotenv, auth, environ, expected = SETUPS[name]
    (found,) = hermes(config, dotenv, auth, **environ)
    assert (found.name, found.base_url, found.key.reveal()) == expected
    assert found.source.startswith("hermes (")


@pytest.mark.parametrize("name", SETUPS)
def test_keys_that_lie_in_the_environment_change_nothing(hermes: Find, name: str) -> None:
    """But for the very key that hermes has nowhere else, which goes to its own server."""
    config, dotenv, auth, environ, expected = SETUPS[name]
    (found,) = hermes(config, dotenv, auth, **{**LYING_AROUND, **environ})
    assert (found.name, found.base_url) == expected[:2]
    own = {"openrouter, its key in the pool": "sk-of-openrouter"}
    assert found.key.reveal() == own.get(name, expected[2])


@pytest.mark.parametrize("url", [BOX, "https://api.openai.com.evil.example/v1", "https://openai.evil/v1"])
def test_a_key_goes_to_its_own_server_only(hermes: Find, url: str) -> None:
    keys = {variable: f"k-{variable}" for variables in KEYS_OF_HOSTS.values() for variable in variables}
    for provider in ("custom", "auto", "vllm", "llama.cpp"):
        (found,) = hermes({"model": {"default": "m", "provider": provider, "base_url": url}}, **keys)
        assert (found.base_url, found.key.reveal()) == (url, "no-key-needed")


def test_an_address_in_the_environment_is_meant(hermes: Find) -> None:
    config = {"model": {"default": "m", "provider": "custom", "base_url": BOX}}
    (found,) = hermes(config, OPENAI_BASE_URL="http://gpu:8000/v1", OPENAI_API_KEY="k", SPRINT_MODEL="s")
    assert (found.name, found.base_url, found.key.reveal()) == ("s", "http://gpu:8000/v1", "k")


def test_a_configured_name_is_asked_of_hermes_provider(hermes: Find) -> None:
    config, dotenv, *_ = SETUPS["openrouter, its key in .env"]
    (found,) = hermes(config, dotenv, model=ModelConfig(name="mine"), **LYING_AROUND)
    assert (found.name, found.base_url) == ("mine", OPENROUTER)


def test_while_the_login_has_run_out_no_other_key_is_spent(
    hermes: Find, caplog: pytest.LogCaptureFixture
) -> None:
    auth = {"providers": {"nous": {"agent_key": "k-agent", "agent_key_expires_at": BEFORE}}}
    with pytest.raises(ModelError, match="nothing usable from hermes"):
        hermes({"model": {"default": "Hermes-5", "provider": "nous"}}, auth=auth, **LYING_AROUND)
    assert "expired" in caplog.text
    assert "start hermes once to renew it" in caplog.text


@pytest.mark.parametrize("provider", sorted(ONLY_HERMES_CALLS))
def test_what_only_hermes_can_call_leaves_the_way_to_the_environments_key(
    hermes: Find, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (found,) = hermes({"model": {"default": "m", "provider": provider}}, **LYING_AROUND)
    assert found.base_url == OPENAI
    assert "only hermes can call" in caplog.text


@pytest.mark.parametrize(
    ("config", "dotenv", "says"),
    [
        ({"model": {"default": "m", "provider": "openrouter"}}, "OPENROUTER_API_KEY=\n", "no usable key"),
        (
            {"model": {"default": "m", "provider": "openrouter"}},
            "OPENROUTER_API_KEY=changeme",
            "no usable key",
        ),
        ({"model": {"default": "m", "provider": "kimi"}}, "KIMI_API_KEY=sk-kimi-abc\n", "another dialect"),
        (
            {"model": {"provider": "box"}, "providers": {"box": {"api": BOX, "enabled": False}}},
            "",
            "no usable address",
        ),
        (
            {"model": {"provider": "box"}, "providers": {"box": "?"}, "custom_providers": {}},
            "",
            "no usable addr",
        ),
    ],
)
def test_what_hermes_cannot_use_is_said(
    hermes: Find, config: Any, dotenv: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ModelError, match="nothing usable from hermes"):
        hermes(config, dotenv)
    assert says in caplog.text


@pytest.mark.parametrize(("told", "context"), [(131_072, 131_072), (0, None), ("much", None), (None, None)])
def test_the_context_that_hermes_is_told_is_taken_over(hermes: Find, told: Any, context: int | None) -> None:
    (found,) = hermes({"model": {"default": "m", "base_url": BOX, "context_length": told}})
    assert found.context == context


def test_a_provider_of_hermes_own_is_not_hidden_by_one_of_the_same_name(hermes: Find) -> None:
    config = {"model": {"default": "m", "provider": "deepseek"}, "providers": {"deepseek": {"api": BOX}}}
    (found,) = hermes(config, "DEEPSEEK_API_KEY=k\n")
    assert found.base_url == "https://api.deepseek.com/v1"


def test_a_model_that_nobody_named_is_an_error_with_the_remedy(hermes: Find) -> None:
    with pytest.raises(ConfigError, match=r"model\.default is missing; set it, or SPRINT_MODEL"):
        hermes({"model": {"provider": "custom", "base_url": f"{NOBODY}/v1"}})


def test_the_table_of_providers_is_sound() -> None:
    assert all(provider.url.startswith(("https://", "http://127.0.0.1:")) for provider in PROVIDERS.values())
    assert not ONLY_HERMES_CALLS & set(PROVIDERS)
