"""What can go wrong, as one tree.

    HarnessError
    ├── UsageError              the user's mistake: pytest ends with exit status 4
    │   ├── ModelReferenceError a model reference that cannot be understood or found
    │   ├── DataError           a sample, row or text file with a fault; names the line
    │   ├── RecipeError         a training recipe with an unknown or contradictory key
    │   ├── BaselineError       a baseline that is absent, damaged or of a newer version
    │   ├── ModelError          a checkpoint whose parts do not fit together
    │   └── NetworkError        a network would be needed and may not be used, or is not there
    ├── InvalidRunError         the run itself is broken, so there is no number to judge
    └── PreflightError          a trainer that would train on something else than is meant

Every message is one sentence that says what, where, how far and what to do.
"""


class HarnessError(Exception):
    """Base of every error this package raises on purpose; shown without a traceback."""


class UsageError(HarnessError):
    """An option, a file or a reference that the user can put right."""


class ModelReferenceError(UsageError):
    """A ``--model`` text that names nothing that can be loaded."""


class DataError(UsageError):
    """A data file with a fault, named by file and line."""


class RecipeError(UsageError):
    """A training recipe that cannot be followed as it is written."""


class BaselineError(UsageError):
    """A stored baseline that is absent, damaged, or newer than this package."""


class NetworkError(UsageError):
    """A download is needed where there is no network or none is allowed."""


class ModelError(UsageError):
    """A checkpoint whose parts do not fit together."""


class InvalidRunError(HarnessError):
    """A run without a usable number: answers cut off, empty or missing."""


class PreflightError(HarnessError):
    """What ``preflight`` found in a trainer; ``report`` holds every case with its findings."""

    def __init__(self, message: str, report: object) -> None:
        super().__init__(message)
        self.report = report
