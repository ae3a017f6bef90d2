"""A forge, a model and a scenario that run on loopback: the demo's stage and the tests' ground."""
