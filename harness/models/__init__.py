"""Models that the metrics can ask: one protocol, one in-process engine behind it."""

from harness.models.base import Completion, LogLikelihood, Model

__all__ = ["Completion", "LogLikelihood", "Model"]
