# cython: language_level=3
"""Faults of counting, as only Cython's own mistakes make them: for nanny.py."""

# Cython's own macros, which know the function that they stand in.
cdef extern from *:
    """
    #define take_one_more(thing) __Pyx_INCREF(thing)
    #define give_one_too_many(thing) __Pyx_DECREF(thing)
    """
    void take_one_more(object thing)
    void give_one_too_many(object thing)


def leak(thing):
    kept = [thing]
    take_one_more(kept)
    return len(kept)


def drop_twice(thing):
    kept = [thing]
    give_one_too_many(kept)
    return len(kept)
