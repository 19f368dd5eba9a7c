"""Header of a frame without its size."""

HEADER = {
    "TELESCOP": "TMT",
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "OBS_ID": "2026B-P001-001",
    "EXP_NO": 1,
    "IMTYPE": "SCI",
    "FILTER": "Jbb",
    "INSTMODE": "IMG",
    "DATE-OBS": "2026-10-14T10:00:00",
    "RA": 10.0,
    "DEC": 20.0,
    "PA": 0.0,
    "SUBARRAY": "FULL",
    "SAMPMODE": "UTR",
}
