"""The names of a server's models, for whoever named a server and no model."""

from __future__ import annotations

from sprint.domain import Secret
from sprint.errors import ConfigError, ModelError, ModelTrouble

_SECONDS = 5.0
_SHOWN = 12
_NO_CHAT = ("embed", "rerank", "whisper")


def only_model(url: str, key: Secret) -> str:
    """The name of the one model at an OpenAI-compatible address.

    Raises ConfigError, which lists them, where there are several; ModelError where it does not tell.
    """
    names = _names(url, key)
    names = [name for name in names if not any(word in name.lower() for word in _NO_CHAT)] or names
    if not names:
        raise ModelError(f"{url} has no model; load one there", ModelTrouble.UNKNOWN)
    if len(names) > 1:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ConfigError(f"it has {', '.join(names[:_SHOWN])}{more}")
    return names[0]


def _names(url: str, key: Secret) -> list[str]:
    import requests

    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor ~/.netrc
        headers = {"Authorization": f"Bearer {key.reveal()}"}
        try:
            answer = session.get(f"{url}/models", headers=headers, timeout=_SECONDS, allow_redirects=False)
            answer.raise_for_status()
            data = answer.json().get("data")
            return [str(entry["id"]) for entry in data if entry.get("id")]
        except (requests.RequestException, ValueError, TypeError, AttributeError, KeyError) as error:
            answered = error.response if isinstance(error, requests.HTTPError) else None
            why = type(error).__name__ if answered is None else f"it answers {answered.status_code}"
            raise ModelError(f"{url} does not tell which models it has ({why})", ModelTrouble.AWAY) from error
