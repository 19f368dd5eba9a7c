"""The rules for level 2 spelled out: every exposure is compared with every other one.

Nothing is sorted into pools, remembered or bounded; headers are dictionaries.
"""

import math

SETUP = ("INSTRUME", "DETECTOR", "FILTER", "INSTMODE", "SAMPMODE", "IFSSCALE", "GRATING")
PLACE = ("SUBARRAY", "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
NEAR, SAME_NIGHT = 0.02, 0.5  # d
EACH_SIDE, DITHERS, FEWEST_DITHERS = 3, 12, 2
SAME_POSITION = 0.04  # arcsec
ROUNDING = 1e-9  # d


def middle(header):
    return header["MJD-OBS"] + header.get("EXPTIME", 0.0) / 86400 / 2


def agree(one, other, keys):
    return all(one.get(key) == other.get(key) for key in keys)


def same_setup(one, other):
    keys = SETUP + (PLACE if "FULL" not in (one["SUBARRAY"], other["SUBARRAY"]) else PLACE[:1])
    return agree(one, other, keys)


def elsewhere(one, other):
    keys = ("DTOTOFF1", "DTOTOFF2")
    if any(header.get(key) is None for header in (one, other) for key in keys):
        numbers = (one.get("DITHNO"), other.get("DITHNO"))
        return None not in numbers and numbers[0] != numbers[1]
    return math.hypot(*(one[key] - other[key] for key in keys)) > SAME_POSITION


def nearest(science, some, most):
    def distance(exposure):
        header = exposure.header
        apart = abs(middle(header) - middle(science.header))
        return apart, middle(header), header["OBS_ID"], header["EXP_NO"], exposure.name

    return sorted(some, key=distance)[:most]


def skies_of(science, exposures, past_only):
    """Sky exposures that go with a science exposure, and on which sides there are some near it."""
    here = middle(science.header)
    skies = [
        e for e in exposures if e.header["IMTYPE"] == "SKY" and same_setup(science.header, e.header)
    ]
    own = [e for e in skies if e.header["OBS_ID"] == science.header["OBS_ID"]]
    before = [e for e in skies if middle(e.header) < here]
    after = [] if past_only else [e for e in skies if middle(e.header) >= here]
    near, far, served = [], [], []
    for side in (before, after):
        inside = [e for e in side if abs(middle(e.header) - here) <= NEAR + ROUNDING]
        mine = [e for e in inside if e in own]
        near += nearest(science, mine or inside, EACH_SIDE)
        served.append(bool(inside))
        tonight = [
            e for e in side if e in own and abs(middle(e.header) - here) <= SAME_NIGHT + ROUNDING
        ]
        far += nearest(science, tonight, EACH_SIDE)
    return near or far, served


def dithers_of(science, exposures, past_only):
    """Other dithers that serve as sky; none if there are too few."""
    here = science.header
    found = [
        e
        for e in exposures
        if e.header["IMTYPE"] == "SCI"
        and e.name != science.name
        and same_setup(here, e.header)
        and agree(here, e.header, ("OBS_ID", "OBJECT"))
        and elsewhere(here, e.header)
        and (not past_only or middle(e.header) < middle(here))
    ]
    return nearest(science, found, DITHERS) if len(found) >= FEWEST_DITHERS else []


def level2(exposures, *, past_only=False):
    """For each science exposure its companions with their roles, and what is missing in a word."""
    found = {}
    for science in exposures:
        if science.header["IMTYPE"] != "SCI":
            continue
        skies, served = skies_of(science, exposures, past_only)
        dithers = [] if skies else dithers_of(science, exposures, past_only)
        members = {(e.name, "sky") for e in skies} | {(e.name, "background") for e in dithers}
        missing = ""
        if not members:
            missing = "no_sky"
        elif skies and not any(served):
            missing = "sky_far"
        elif skies and not past_only and not all(served):
            missing = "no_sky_after" if served[0] else "no_sky_before"
        found[science.name] = (members, missing)
    return found
