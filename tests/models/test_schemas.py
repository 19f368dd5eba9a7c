"""The schemas against the contract and the facts of the instrument."""

from pathlib import Path

import asdf
import pytest

from liger_iris_pipeline import models
from liger_iris_pipeline.instrument.detectors import DETECTORS
from liger_iris_pipeline.instrument.filters import FILTERS, OPAQUE_OR_OPEN
from liger_iris_pipeline.models import rawfile
from liger_iris_pipeline.models.resources import SCHEMA_PREFIX, get_resource_mappings

RAW = {
    "TELESCOP",
    "INSTRUME",
    "DETECTOR",
    "OBS_ID",
    "EXP_NO",
    "RAMP_NO",
    "READ_NO",
    "NUMRAMPS",
    "NUMREADS",
    "SAMPMODE",
    "NFOWLER",
    "READTIME",
    "RST_TIME",
    "FRM_TIME",
    "GAIN",
    "READNOIS",
    "SATURATE",
    "DET_ID",
    "DETSIZE1",
    "DETSIZE2",
    "NOUTPUTS",
    "REFPIX",
    "SUBARRAY",
    "SUBARRID",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "IMTYPE",
    "OBJECT",
    "RA",
    "DEC",
    "EQUINOX",
    "RADESYS",
    "DATE-OBS",
    "MJD-OBS",
    "MJD-END",
    "TIMESYS",
    "EXPTIME",
    "RAMPTIME",
    "FILTER",
    "INSTMODE",
    "IFSSCALE",
    "IFSRES",
    "GRATING",
    "PA",
    "INROTANG",
    "AIRMASS",
    "PARANG",
    "EL",
    "AZ",
    "HA",
    "DTOTOFF1",
    "DTOTOFF2",
    "DITHNO",
    "CTYPE1",
    "CTYPE2",
    "CRVAL1",
    "CRVAL2",
    "CRPIX1",
    "CRPIX2",
    "CD1_1",
    "CD1_2",
    "CD2_1",
    "CD2_2",
    "TMPTMP",
    "PRESSURE",
    "HUMIDITY",
    "IMGDISWV",
    "ODGWIMS1",
    "LGSR0",
    "PROGTITL",
    "PROGPI",
    "SEMID",
    "PROGNUM",
    "OBSNUM",
}
STATUS = [
    "S_DQINIT",
    "S_DARK",
    "S_FLAT",
    "S_SKY",
    "S_WCS",
    "S_PHOTOM",
    "S_REFPIX",
    "S_SATUR",
    "S_LINEAR",
    "S_JUMP",
    "S_RAMP",
    "S_GAIN",
    "S_CRREJ",
    "S_EXTRAC",
    "S_WAVCAL",
    "S_CUBE",
    "S_COMBIN",
]
PROVENANCE = ["DATALVL", "DATAMODL", "DRSVER", "FILENAME", "DATE"]
CLASSES = [name for name in models.__all__ if name.endswith("Model")]


def keywords(model, hdu="PRIMARY"):
    return {keyword.name: keyword for keyword in model.keywords() if keyword.hdu == hdu}


def test_frames_have_every_keyword_of_the_contract():
    known = keywords(models.ImagerFrameModel)
    assert {*RAW, *STATUS, *PROVENANCE, "SKYMODE", "MAGZERO", "MAGZVEGA", "PIXAR_R"} <= set(known)
    assert {"SKYSUB", "SKYLEVEL", "BUNIT"} <= set(keywords(models.ImagerFrameModel, "SCI"))
    assert {*RAW} <= set(keywords(models.RampReadModel))
    assert {*STATUS, "PIXAR_R"} <= set(keywords(models.ImagerMosaicModel))


def test_closed_lists_are_the_facts_of_the_instrument():
    known = keywords(models.ImagerFrameModel)
    assert set(known["DETECTOR"].allowed) == {*DETECTORS, "MULTIPLE"}
    assert set(known["FILTER"].allowed) == {*FILTERS, *OPAQUE_OR_OPEN}
    assert known["IMTYPE"].allowed == rawfile.IMAGE_TYPES
    assert known["SAMPMODE"].allowed == rawfile.SAMPLING
    assert known["INSTMODE"].allowed == rawfile.MODES
    assert all(known[name].allowed == ("COMPLETE", "SKIPPED", "FAILED") for name in STATUS)


@pytest.mark.parametrize("name", CLASSES)
def test_every_keyword_has_a_comment_that_fits_its_card(name):
    for keyword in getattr(models, name).keywords():
        assert 0 < len(keyword.title) <= 47, keyword
        assert len(keyword.name) <= 8


@pytest.mark.parametrize("name", CLASSES)
def test_no_keyword_stands_twice(name):
    places = [(keyword.hdu, keyword.name) for keyword in getattr(models, name).keywords()]
    assert len(places) == len(set(places))


def test_every_schema_is_named_after_its_file_and_is_valid():
    (mapping,) = get_resource_mappings()
    folder = Path(models.__file__).parent / "schemas"
    assert len(mapping) == len(list(folder.glob("*.schema.yaml"))) >= 16
    for uri, content in mapping.items():
        assert uri.startswith(SCHEMA_PREFIX)
        assert f"id: {uri}\n".encode() in content
        asdf.schema.check_schema(asdf.schema.load_schema(uri, resolve_references=True))


@pytest.mark.parametrize("name", CLASSES)
def test_a_new_model_is_empty_and_valid(name):
    model = getattr(models, name)()
    assert model.meta.model_type == name
    assert model.crds_observatory == "iris"
    assert model.get_crds_parameters() == {}
    model.validate()


def test_public_names():
    assert set(models.__all__) <= set(dir(models))
    assert all(getattr(models, name) is not None for name in models.__all__)
    with pytest.raises(AttributeError, match="no attribute 'CubeModel'"):
        _ = models.CubeModel
