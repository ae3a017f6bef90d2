"""Many hosts that share one ledger and one ceiling, in PostgreSQL, and ticks as jobs of Procrastinate there.

A host's own files stay what they are, and everything is written to them first; what is in the database was
shipped from them, late or early, and never twice. Nothing here is imported where no fleet is configured.
"""
