"""Coding agents as workers: each a program of its own, run in the sandbox over the checkout.

`contract` says what a kind of agent has to tell; `catalogue` lists the kinds, one small file each;
`performer` runs any of them; `story` makes of what it says the run's transcript; `way` leads to its model.
"""
