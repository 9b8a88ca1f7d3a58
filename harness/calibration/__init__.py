"""How often a gate cries wolf and how often it misses: simulated runs whose truth is known. No torch, no pytest."""
