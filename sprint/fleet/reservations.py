"""One ceiling over all hosts: a run keeps what it may spend before it begins, and gives back the rest.

What counts for today is what is recorded as spent, and of each run under way what it keeps and has not spent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from sprint.config import Config, Limits
from sprint.domain import Run
from sprint.fleet.database import Connection, asking
from sprint.fleet.shipping import HELD_FOR, one_at_a_time
from sprint.spend import has_price

_SPENT = "SELECT coalesce(sum(usd), 0) FROM sprint_spend WHERE day = (now() AT TIME ZONE 'UTC')::date"
_KEPT = """
SELECT coalesce(sum(greatest(kept.usd - coalesce(spent.usd, 0), 0)), 0) FROM sprint_reservations kept
LEFT JOIN LATERAL (SELECT sum(usd) AS usd FROM sprint_spend WHERE run_id = kept.run_id) spent ON true
WHERE kept.until > now() AND kept.run_id != %s
"""
_SPENT_BY = "SELECT coalesce(sum(usd), 0) FROM sprint_spend WHERE run_id = %s"
_KEEP = """
INSERT INTO sprint_reservations (run_id, host_id, usd, why, until) VALUES (%s, %s, %s, %s, now() + %s)
ON CONFLICT (run_id) DO UPDATE SET usd = excluded.usd, why = excluded.why, until = excluded.until
"""
_EXTEND = """
INSERT INTO sprint_reservations AS kept (run_id, host_id, usd, why, until) VALUES (%s, %s, %s, '', now() + %s)
ON CONFLICT (run_id) DO UPDATE SET usd = greatest(kept.usd, excluded.usd),
    until = greatest(kept.until, excluded.until)
RETURNING usd
"""


def amount(config: Config, run: Run, limits: Limits) -> tuple[float, str]:
    """What a run is to keep of the day's ceiling, in dollars, and why that much where nobody said so."""
    reserve = config.fleet.reserve_usd if config.fleet else 0.0
    if not getattr(config.worker(run.worker), "uses_model", True):
        return 0.0, "its worker asks no model"
    if limits.usd is None:
        usd, why = reserve, "fleet.reserve_usd, for limits.usd is null"
    elif not has_price(config, run):
        usd, why = reserve, "fleet.reserve_usd, for the model's price is unknown"
    else:
        usd, why = limits.usd, ""
    return min(usd, limits.usd_per_day or usd), why


def counted(database: Connection, *, without: str = "") -> tuple[float, float]:
    """The dollars of today: spent, and kept by runs under way but the one of that id."""
    with asking():
        (spent,) = database.execute(_SPENT).fetchone() or (0,)
        (kept,) = database.execute(_KEPT, [without]).fetchone() or (0,)
    return float(spent), float(kept)


def keep(database: Connection, own: str, run: Run, usd: float, ceiling: float, why: str) -> str:
    """Keep so much for a run, to its deadline at least, for its agent may go on without this host.

    Returns why there is no room for it, or "". `own` is this host's id.
    """
    held_for = max(HELD_FOR, run.deadline - datetime.now(UTC))
    with asking(), database.transaction():
        one_at_a_time(database)
        spent, kept = counted(database, without=run.id)
        if spent + kept + usd > ceiling + 1e-9 or spent >= ceiling:
            return full(spent, kept, ceiling)
        database.execute(_KEEP, [run.id, own, Decimal(str(usd)), why, held_for])
    return ""


def extend(database: Connection, own: str, run_id: str, step: float, ceiling: float) -> float | str:
    """Keep `step` more than a run has spent, or what there is left; returns how much that is from the run's
    beginning, or why there is nothing left."""
    with asking(), database.transaction():
        one_at_a_time(database)
        spent, kept = counted(database, without=run_id)
        left = ceiling - spent - kept
        if left <= 0:
            return full(spent, kept, ceiling)
        (so_far,) = database.execute(_SPENT_BY, [run_id]).fetchone() or (0,)
        usd = float(so_far) + min(step, left)
        (usd,) = database.execute(_EXTEND, [run_id, own, Decimal(str(usd)), HELD_FOR]).fetchone() or (0,)
    return float(usd)


def full(spent: float, kept: float, ceiling: float) -> str:
    return (
        f"today's ceiling is reached on all hosts: of ${ceiling:.2f}, ${spent:.2f} are spent and ${kept:.2f} "
        "kept by runs under way"
    )


def kept_by(database: Connection, run_id: str) -> float:
    with asking():
        row = database.execute("SELECT usd FROM sprint_reservations WHERE run_id = %s", [run_id]).fetchone()
    return float(row[0]) if row else 0.0


def give_back(database: Connection, run_id: str, own: str) -> None:
    """Of a run of ours that is over. What it spent is recorded before."""
    with asking():
        database.execute("DELETE FROM sprint_reservations WHERE run_id = %s AND host_id = %s", [run_id, own])
