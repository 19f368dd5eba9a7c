"""What differs between two products."""

import numpy as np
from astropy.io import fits

TIMES = frozenset({"DATE", "LASTREAD", "LATENCY"})


def differences(one, two):
    """List what differs between two products, times left out."""
    found = []
    with fits.open(one) as first, fits.open(two) as second:
        if [hdu.name for hdu in first] != [hdu.name for hdu in second]:
            return [f"HDUs {[hdu.name for hdu in first]} {[hdu.name for hdu in second]}"]
        for a, b in zip(first, second, strict=True):
            if a.name in ("ASDF", "RECEIPT"):
                continue
            keys = sorted(set(a.header) | set(b.header))
            found += [
                f"{a.name} {key}: {a.header.get(key)!r} {b.header.get(key)!r}"
                for key in keys
                if key not in TIMES and a.header.get(key) != b.header.get(key)
            ]
            same = a.data is None or np.array_equal(a.data.tobytes(), b.data.tobytes())
            found += [] if same else [f"{a.name}: data"]
    return found
