"""`sprint serve`: the report, and each run as it happens, in a browser. It reads files, and nothing else.

`guard` decides who may ask, `site` what there is to ask for; `feed` has one reader for each thing that
changes, however many look on.
"""
