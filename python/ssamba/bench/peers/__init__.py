"""The scan in one direction, beside those that others have written for CPUs.

registry.py lists them, and what each computes; comparison.py gives all the same inputs and holds what they give against
the reference before anything is timed; table.py shows what came of it. A peer is one file here, which has

    prepare(inputs, resources) -> Scan

from the arguments of `ssamba_ops.selective_scan` that it has to honour; what must be let go goes into `resources`. It
runs on as many threads as torch has been told to use.
"""
