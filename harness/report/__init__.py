"""The report in its formats: terminal, JSON, Markdown."""
