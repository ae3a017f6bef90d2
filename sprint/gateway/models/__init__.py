"""The gateway's way to a model: what agents ask goes to the configured server, with the key that they lack.

`dialect` says what the three APIs have in common, one file each has what differs; `event_stream` takes a
stream apart as it passes; `provider` holds the connections outside; `used` what was used; `route` serves.
"""
