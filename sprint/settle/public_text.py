"""What leaves for the forge as text goes through here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from sprint import policy, proc
from sprint.context import Context
from sprint.credentials.endpoints import is_public_provider
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import PublicText, Run, Secret, replace
from sprint.errors import SprintError

_SHORTEST_NAME = 4


def public_text(context: Context, run: Run, text: str) -> PublicText:
    """`text` without credentials, and without the names of this machine and of the model's server."""
    return policy.public(text, secrets_of(context, run), _whereabouts(context))


def with_public_words(context: Context, run: Run) -> Run:
    """The run with the model's words as they may be published: to be asked for before they are made inert.

    For a credential that loses its scheme then looks like none: postgres://app:SECRET@db.
    """
    result = run.result
    if result is not None:
        summary, why = (public_text(context, run, said) for said in (result.summary, result.detail))
        result = replace(result, summary=summary, detail=why)
    return replace(run, result=result, detail=public_text(context, run, run.detail))


def public_without_run(context: Context, text: str) -> PublicText:
    """The same for what no run says."""
    keys = [context.forge.token] if context.forge.token else []
    return policy.public(text, keys, _whereabouts(context))


def secrets_of(context: Context, run: Run) -> list[Secret]:
    """Ours. The agent can have seen none of them; that its work holds none is looked at all the same."""
    try:
        keys = [key for key in context.worker_of(run).secrets() if key != NO_KEY]
    except SprintError:  # no model now, which is nothing to what has been made
        keys = []
    return [*keys, *([context.forge.token] if context.forge.token else [])]


def _whereabouts(context: Context) -> Iterator[str]:
    """Without what the address of the runs' pages says: its owner has said so for all to see."""
    told = urlsplit(context.config.monitor.address).netloc.lower()
    return (word for word in _private_words(context) if not told or word.lower() not in told)


def _private_words(context: Context) -> Iterator[str]:
    """A machine that is called `debian` is told from no other, and the word is one that people write."""
    name = proc.hostname()
    for word in {name, name.partition(".")[0]}:
        if len(word) >= _SHORTEST_NAME and re.search(r"[\d.-]", word):
            yield word
    try:
        urls = [endpoint.base_url for endpoint in context.endpoints()]
    except SprintError:
        return
    for address in (urlsplit(url) for url in urls if not is_public_provider(url)):
        yield f"{address.netloc}{address.path}".rstrip("/")
        if address.port:
            yield address.netloc
