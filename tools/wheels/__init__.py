"""Builds, checks and tests what is released: the sdist, the pure wheel and wheels with the extension."""
