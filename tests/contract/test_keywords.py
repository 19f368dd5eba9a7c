"""The dictionary of keywords: complete, documented, and the only metadata the code knows."""

import ast
import json
from pathlib import Path

import pytest

from liger_iris_pipeline import models
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.models.glossary import keyword_page
from liger_iris_pipeline.models.keywords import OWN

ROOT = Path(__file__).parents[2]
WORDS = """
XSIZE YSIZE XSTART YSTART SARRMODE READTIME RST_TIME FRM_TIME OBS_ID DET_ID EXP_NO RAMP_NO READ_NO COMPLETE
OBSID EXPTIME RAMPTIME NUMREADS NUMRAMPS GAIN READNOIS RAMPINTT SAMPMODE EXPNO DITHNO IFSSTATE IMSTATE
RA DEC EQUINOX PARANG AZ EL HA AIRMASS TELFOCUS TELFRAT LST PNTGST PA INROTANG PROTANG
IFSMODE IFSSCALE IFSRES IFSGRTST IFSGRTPS LLMSKST SLMSKST PCKMRRPS PRSCPPOS IFSO1POS IFSO2POS
FILTER FILTWAVE FILTDRFL FILT1POS FILT2POS FILT3POS FILT4POS FILT5POS CLDSTPX CLDSTPY CLDSTPTH PPMIRRST
IMGDTEMP IFSDTEMP IMGTEMP IFSTEMP IMGTLOC IFSTLOC TMPTMP
LGSR0 LGSTHT0 LGSTHT2 LGSL0 LGSTAU0 LGSCN2P NGSPROF NGSR0 NGSL0 NGSTAU0 AORATEHO AORATELO AORATELT AORATEWC
AOTIER1 AOTIER2 AOTIER3 AOTIER3F ODGWIMEL ODGWIMS1 ODGWIMS2 ODGWIMRT AODM0TM AODM11TM AOISMST AONAALT
AOENCLTM SSLGSALT SSLGSMAG
OIWFS1PS OIWFS2PS OIWFS3PS OIWFS1ST OIWFS2ST OIWFS3ST ODGW1PS ODGW2PS ODGW3PS ODGW4PS
ODGW1ST ODGW2ST ODGW3ST ODGW4ST OIWF1SXY OIWF2SXY OIWF3SXY OIWFGSIN ODGWGSIN VNWFGSIN
GUIDNAME GUIDRA GUIDDEC GUIDPMRA GUIDPMDC GUIDCOL GUIDCOLU
IMGDISWV IMGDISWT IMGDISVL DISNFRW DISNFOR DISNFWV DISNFWG DISNFVAL
M2TIP M2TILT M2PISTON M2DECENX M2DECENY M3ROT M3TILT ENCBASE ENCCAP
"""
INSTRUMENT = WORDS.split()
UNITS = {
    "READTIME": "us",
    "RAMPINTT": "ms",
    "RA": "deg",
    "TELFOCUS": "mm",
    "IFSSCALE": "mas",
    "CLDSTPX": "mm",
    "CLDSTPTH": "deg",
    "LGSR0": "m",
    "LGSTHT0": "mas",
    "LGSTAU0": "s",
    "AODM0TM": "Celsius",
    "AONAALT": "km",
    "OIWFS1PS": "mm",
    "M2TIP": "deg",
    "M2PISTON": "m",
    "GAIN": "electron/DN",
    "XSIZE": "pixel",
}


@pytest.fixture(scope="module")
def known():
    return {keyword.name: keyword for keyword in models.dictionary() if keyword.hdu == "PRIMARY"}


def test_the_dictionary_of_the_instrument_is_in_the_schemas(known):
    assert [name for name in INSTRUMENT if name not in known] == []
    for name in INSTRUMENT:
        keyword = known[name]
        assert keyword.source != OWN, name
        assert keyword.expected or keyword.kind, name
        assert keyword.level in ("RWP", "WP", "W", "P") or name.startswith("GUID"), name
    assert {name: known[name].unit for name in UNITS} == UNITS


def test_titles_begin_with_the_unit():
    """The comment of a card is the title: FITS wants the unit there, in brackets."""
    for keyword in models.dictionary():
        bracket = keyword.title.partition("]")[0].removeprefix("[") if "]" in keyword.title else ""
        assert keyword.unit == ("" if bracket == "UTC" else bracket), keyword
        assert keyword.merge in ("constant", "varies")
        assert keyword.meaning


def test_telemetry_of_any_kind_is_kept(tmp_path):
    """Telemetry never ends a reduction."""
    cards = {"LGSR0": "UNKNOWN", "OIWFS1PS": "1.5,-2.25", "ODGWIMS1": 0.01, "IMGTEMP": 77}
    model = models.ImagerFrameModel.from_header({**cards, "GUIDNAME": 5, "FILTDRFL": "YES"})
    model.data = [[0.0]]
    model.save(tmp_path / "a.fits")
    with models.open(tmp_path / "a.fits") as again:
        found = again.header_mapping()
    assert {key: found[key] for key in cards} == cards


def test_the_page_of_keywords_is_up_to_date():
    page = (ROOT / "docs" / "keywords.md").read_text()
    assert page == keyword_page(), (
        "python -m liger_iris_pipeline.models.glossary > docs/keywords.md"
    )


def _attributes(node):
    """Path of a chain of attributes below ``meta``; None for another one."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    names.reverse()
    return tuple(names[names.index("meta") :]) if "meta" in names else None


def _known_paths():
    """Every path of metadata that some schema has, and its beginnings."""
    paths = set()
    for name in models.__all__:
        if not name.endswith("Model"):
            continue
        model = getattr(models, name)
        for keyword in model.keywords():
            paths |= {keyword.path[:n] for n in range(1, len(keyword.path) + 1)}
    return paths | {("meta", "wcs")}


def test_no_metadata_without_a_schema():
    """What no schema has would be kept in the ASDF extension and be lost to all who read FITS."""
    known = _known_paths()
    unknown = []
    for path in (ROOT / "src" / "liger_iris_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            chain = _attributes(node) if isinstance(node, ast.Attribute) else None
            if chain is None or len(chain) < 2:
                continue
            while chain not in known and len(chain) > 1 and chain[:-1] in _leaves(known):
                chain = chain[:-1]  # a method of a value
            if chain not in known and chain[1] not in ("instance", "items"):
                unknown.append(f"{path.name}: {'.'.join(chain)}")
    assert unknown == []


def _leaves(known):
    """Paths that have a value."""
    return {path for path in known if not any(other[:-1] == path for other in known)}


def test_the_command_shows_the_dictionary(capsys):
    assert main(["info", "--keywords"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (airmass,) = [line for line in lines if line.startswith("  AIRMASS ")]
    assert "varies" in airmass
    assert "TCS pk" in airmass
    assert main(["info", "--keywords", "--json"]) == 0
    listed = {item["name"]: item for item in json.loads(capsys.readouterr().out)}
    assert listed["LGSR0"]["unit"] == "m"
    assert len(listed) > 180
