"""The kinds of package indexes: each points its clients at the gateway and knows which paths there are."""

from sprint.config.schema import IndexKind
from sprint.gateway.index import Rules
from sprint.gateway.indexes import crates, go, maven, npm, pypi

KINDS: dict[IndexKind, Rules] = {"pypi": pypi, "npm": npm, "go": go, "crates": crates, "maven": maven}
