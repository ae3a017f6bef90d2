"""The routes that a set-up gets: package indexes as this machine's clients use them, and the CONNECT list."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import asdict

from sprint.config import GatewayConfig
from sprint.config.schema import IndexKind
from sprint.domain import Finding, Grade, replace
from sprint.gateway import DOORS, Door, Gateway, clients, opened
from sprint.gateway.connect import Connect, Network
from sprint.gateway.index import Found, Index
from sprint.gateway.indexes import KINDS
from sprint.gateway.journal import Journal
from sprint.gateway.lockfiles import Locked, locked_at
from sprint.gateway.upstream import Outside, Site, site

_NOT_PROXIED = "127.0.0.1,localhost,::1"
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def package_gateway(
    folder: Path,
    config: GatewayConfig,
    machine: clients.Machine,
    *,
    mirror: Path,
    base: str,
    network: Network | None = None,
) -> Iterator[Gateway]:
    """A gateway for a set-up of the run in `folder`, whose base commit is in `mirror`. Raises SprintError."""
    outside = Outside(machine.around.environ)
    journal = Journal(folder)
    try:
        doors = package_doors(config, machine, outside, journal, locked_at(mirror, base), network)
        with opened(folder, doors) as gateway:
            yield replace(gateway, take_refusals=journal.take_refusals)
    finally:
        outside.close()


def package_doors(
    config: GatewayConfig,
    machine: clients.Machine,
    outside: Outside,
    journal: Journal,
    locked: Locked,
    network: Network | None = None,
) -> dict[str, Door]:
    """A door for each kind of index and one for CONNECT; what is off has one too, which says why."""
    doors = {"connect": Door(Connect(config, journal, network), _proxy_variables(), {})}
    configured = asdict(config.indexes)
    for name, rules in KINDS.items():
        address = f"http://127.0.0.1:{DOORS[name]}"
        found = _found(name, configured[name], machine, outside)
        index = Index(
            name,
            rules,
            found,
            address=address,
            outside=outside,
            journal=journal,
            locked=locked,
            config=config,
        )
        doors[name] = Door(index, rules.environment(address, found), rules.home_files(address))
    return doors


def told_indexes(config: GatewayConfig, machine: clients.Machine) -> Iterator[Finding]:
    """Each kind of index as a set-up would get it: where it is and who said so, or why it is off."""
    wanted = asdict(config.indexes)
    for name, client in clients.CLIENTS.items():
        key, configured = f"gateway.indexes.{name}", wanted[name]
        if configured:
            says = "off" if configured == "none" else site(configured).url
            yield Finding(Grade.OK, f"index {name}", f"{says}, by {key}")
            continue
        try:
            urls = ", ".join(site(address).url for address in clients.told_by(client, machine).addresses)
            says = f"{urls}, as {client.program} here is set up; {key} sets another"
        except clients.NotTold as error:
            says = f"off: {error}; {key} sets its address"
        yield Finding(Grade.OK, f"index {name}", says)


def _proxy_variables() -> dict[str, str]:
    """For plain HTTP too: that it is refused is then said, and noted."""
    address = f"http://127.0.0.1:{DOORS['connect']}"
    variables = {"http_proxy": address, "https_proxy": address, "no_proxy": _NOT_PROXIED}
    return {**variables, **{name.upper(): value for name, value in variables.items()}}


def _found(name: IndexKind, configured: str, machine: clients.Machine, outside: Outside) -> Found:
    """Where an index is: as configured, else as its client on this machine says."""
    if configured == "none":
        return Found(off=f"the {name} index is switched off")
    if configured:
        return Found((_let_in(site(configured), name, machine),), _settings_of(name, machine))
    try:
        told = clients.told_by(clients.CLIENTS[name], machine)
    except clients.NotTold as error:
        _log.info("gateway: the %s index is off: %s; gateway.indexes.%s sets its address", name, error, name)
        return Found(off=f"the {name} index is off: {error}")
    outside.trust(told.ca_file)
    sites = tuple(_let_in(site(address), name, machine) for address in told.addresses)
    return Found(sites, told.settings)


def _settings_of(name: IndexKind, machine: clients.Machine) -> Mapping[str, str]:
    """What else a client inside must know, where only the address is configured."""
    try:
        return clients.told_by(clients.CLIENTS[name], machine).settings if name == "go" else {}
    except clients.NotTold:
        return {}


def _let_in(place: Site, name: str, machine: clients.Machine) -> Site:
    if place.authorization is not None:
        return place
    host = urlsplit(place.url).netloc
    return replace(place, authorization=clients.authorization(machine, name, host))
