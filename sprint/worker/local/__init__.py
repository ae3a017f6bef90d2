"""The tool-calling loop: a model works in a sandbox, and the runner keeps watch."""
