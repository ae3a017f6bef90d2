"""Sprites: machines that keep what is on them, and the supervisor that works on one."""
