"""Brings the harness into every pytest run of this repository: its options, fixtures, gate and report."""

pytest_plugins = ["harness.plugin"]
