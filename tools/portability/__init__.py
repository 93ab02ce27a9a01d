"""What one machine can prove of others: processors by emulation, other interpreters, other compilers.

`python -m tools.portability` runs it; docs/portability.md says what each target proves and what none does.
"""
