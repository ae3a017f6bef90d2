"""What `sprint doctor` says of a backend: who answers, what is there, and whether the model can be had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sprint import credentials
from sprint.config import Config, SpriteWorkerConfig, SshBackendConfig
from sprint.credentials.endpoints import model_endpoints
from sprint.domain import Endpoint, Finding, Grade, Secret
from sprint.errors import SprintError
from sprint.sprite import backends, boxed
from sprint.sprite.backend import Backend, BackendError, Sprite, SpriteState
from sprint.sprite.folders import FolderBackend
from sprint.sprite.visit import Visit, unfit
from sprint.surroundings import Surroundings

_SECONDS = 60.0
# By stdin, so that the key is in no argument; what it prints is one word or number.
_ASK = """\
import urllib.error, urllib.request
given = {given}
asked = urllib.request.Request(given["url"] + "/models")
asked.add_header("Authorization", "Bearer " + given["key"])
try:
    with urllib.request.urlopen(asked, timeout=20) as answer:
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
except Exception as error:
    print(type(getattr(error, "reason", error)).__name__)
"""


def examine(config: Config, around: Surroundings, *, deep: bool) -> Iterator[Finding]:
    """A finding for each backend, and for each worker's sprite there. `deep` asks the model from there."""
    for name in config.backends:
        what = f"backend {name}"
        try:
            backend = backends.opened(config, name, around)
            there = {one.name: one for one in backend.list()}
        except SprintError as error:
            yield Finding(Grade.FAULT, what, str(error))
            continue
        yield Finding(Grade.OK, what, f"answers; {len(there)} sprites")
        if isinstance(backend, FolderBackend):
            yield from _sandbox(config, name, backend)
        workers = {
            worker: one
            for worker, one in config.workers.items()
            if isinstance(one, SpriteWorkerConfig) and one.backend in ("", name)
        }
        looked_at = {sprite for one in workers.values() for sprite in one.sprites if sprite in there}
        for sprite in sorted(looked_at) or list(there)[:1]:
            yield _machine(backend, there[sprite])
        for worker, one in workers.items():
            yield from _key(config, worker, one, backend, there, around, deep=deep)


def _sandbox(config: Config, name: str, backend: FolderBackend) -> Iterator[Finding]:
    """This machine's own is looked at by itself."""
    section, what = config.backends[name], f"backend {name} sandbox"
    if not isinstance(section, SshBackendConfig):
        return
    if section.sandbox == "none":
        yield Finding(Grade.OK, what, "an agent has all rights of that user there, as configured")
        return
    try:
        boxed.probe(backend, config.defaults.sandbox)
    except BackendError as error:
        yield Finding(Grade.FAULT, what, str(error))
    else:
        yield Finding(Grade.OK, what, "a command ran in it")


def _machine(backend: Backend, sprite: Sprite) -> Finding:
    what = f"sprite {sprite.name}"
    if sprite.state is SpriteState.ASLEEP:
        return Finding(Grade.OK, what, "asleep, and left so")
    try:
        seen = Visit(backend, sprite.name).ask("probe", programs=[])
    except BackendError as error:
        return Finding(Grade.FAULT, what, str(error))
    if why := unfit(seen):
        return Finding(Grade.FAULT, what, why)
    version = ".".join(map(str, seen["python"]))
    return Finding(Grade.OK, what, f"Python {version}, {seen['git']}, {seen['free_mb']} MB free")


def _key(
    config: Config,
    worker: str,
    section: SpriteWorkerConfig,
    backend: Backend,
    there: dict[str, Sprite],
    around: Surroundings,
    *,
    deep: bool,
) -> Iterator[Finding]:
    """That there is a key says nothing: where one goes to a sprite, it is tried from there."""
    what = f"worker {worker}"
    sprite = next((name for name in section.sprites if name in there), None)
    if not deep or sprite is None or section.key != "file" or not section.uses_model:
        return
    try:
        key = credentials.token_in_file(Path(section.key_file), "workers: key_file").secret
        found: Sequence[Endpoint] = list(model_endpoints(config, around))
        endpoint = next((one for one in found if one.name == section.model), found[0])
        told = ask_from(backend, sprite, endpoint.base_url, key)
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{what} model", str(error))
        return
    yield judged(f"{what} model", sprite, endpoint.base_url, told)


def ask_from(backend: Backend, sprite: str, url: str, key: Secret) -> str:
    """The HTTP status that the model's server answers the sprite with, else what kind of failure it was."""
    script = _ASK.format(given=repr({"url": url.rstrip("/"), "key": key.reveal()}))
    done = backend.exec(sprite, ["python3", "-I", "-"], timeout=_SECONDS, stdin=script.encode())
    return done.stdout.decode("utf-8", "replace").strip()[:60] or "nothing"


def judged(what: str, sprite: str, url: str, told: str) -> Finding:
    if told in ("401", "403"):
        return Finding(Grade.FAULT, what, f"{url} refuses the key, asked from {sprite} (HTTP {told})")
    if not told.isdigit():
        return Finding(Grade.FAULT, what, f"{url} cannot be reached from {sprite}: {told}")
    grade = Grade.OK if told == "200" else Grade.WARNING
    return Finding(grade, what, f"{url} answers {sprite} with HTTP {told}")
