"""Commands of ``python -m harness``, each a module with ``add_to`` and ``run``."""
