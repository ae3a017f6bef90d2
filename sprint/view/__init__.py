"""What a person sees of a run while it goes on: `tail` reads its files, `glance` says how it stands, `words`
says what happened in lines, `screen` draws at a terminal. Nothing here writes, or asks anybody.
"""
