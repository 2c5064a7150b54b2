"""Messidor: 1,200 photographs of three French departments, in twelve bases, on its own scale of retinopathy.

Layout read in github.com/mikevoets/jama16-retina-replication (messidor.sh, preprocess_messidor.py):
`Annotation_BaseNN.xls` beside the unpacked `BaseNN/`, columns Image name, Ophthalmologic department, Retinopathy grade,
Risk of macular edema. An .xls is no text: each is saved as CSV UTF-8 under the same name first. The publisher's errata,
as that loader and a second one apply them, are applied to the grades; photographs that lie twice in Base33 are marked,
not removed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, picture_names
from fundoscope.data.words import decoded, read_words
from fundoscope.errors import BadTable

COLUMNS: Final = ("Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema")
GRADES: Final = {str(grade): grade for grade in range(4)}
RISKS: Final = {str(risk): risk for risk in range(3)}

CORRECTED: Final = {
    "20051020_63045_0100_PP": 0,
    "20051020_64007_0100_PP": 3,
    "20051020_63936_0100_PP": 1,
    "20060523_48477_0100_PP": 3,
}
"""Grades of Base11 and Base13 by the errata of 31 August and 24 October 2016."""

TWICE: Final = frozenset(
    f"{name}_0400_PP"
    for name in (
        *("20051202_54744", "20051202_40508", "20051202_41238", "20051202_41260", "20051202_54530", "20051205_33025"),
        *("20051202_55607", "20051202_41034", "20051205_35099", "20051202_54555", "20051205_35110", "20051202_54611"),
        *("20051202_55498", "20051202_55582", "20051202_41076", "20051202_48287", "20051202_48586", "20051202_55457"),
        *("20051202_55626", "20051202_54783", "20051202_48575", "20051205_32966", "20051202_55484", "20051205_32981"),
        *("20051202_55562", "20051202_54547"),
    )
)
"""The 26 names of the 13 pairs in Base33 (erratum of 16 August 2017). One loader deletes 13 of them, the other the
other 13; which two are a pair neither says."""


def read_messidor(root: Path) -> pd.DataFrame:
    """Messidor as it lies in a folder: `messidor_grade` 0 to 3 on its own scale, `dme` its risk of oedema.

    `grade` is left out: Messidor's grades count microaneurysms and haemorrhages and are not ICDR's. `dme` 1 is a risk
    (exudates further than a disc diameter from the centre), 2 exudates nearer, as in IDRiD.

    Raises:
        BadTable: If no base is annotated in CSV, or an annotation is not as expected.
    """
    tables = {}
    for path in sorted([*root.glob("Annotation*Base*.csv"), *root.glob("Base*/Annotation*Base*.csv")]):
        if match := re.search(r"Base\s?(\d\d)", path.stem):
            tables[f"Base{match[1]}"] = path
    if not tables:
        raise BadTable(
            f"{root}: expected Messidor with Annotation_Base11.csv to Annotation_Base34.csv beside Base11/ to Base34/, "
            f"got {_instead(root)}. Save every Annotation_BaseNN.xls as CSV UTF-8 under the same name."
        )
    return pd.concat([_base(root, base, path) for base, path in tables.items()], ignore_index=True)


def _base(root: Path, base: str, path: Path) -> pd.DataFrame:
    words = read_words(path, COLUMNS)
    pictures = picture_names(root / base)
    names = [Path(str(name)).stem for name in words[COLUMNS[0]]]
    published = decoded(words[COLUMNS[2]], GRADES, path).tolist()
    corrected = [CORRECTED.get(name, grade) for name, grade in zip(names, published, strict=True)]
    return pd.DataFrame(
        {
            "image": [f"{base}/{pictures.get(name, f'{name}.tif')}" for name in names],
            "dme": decoded(words[COLUMNS[3]], RISKS, path).tolist(),
            "site": words[COLUMNS[1]].tolist(),
            "messidor_grade": pd.Series(corrected, dtype="Int64"),
            "base": base,
            "erratum": [
                _erratum(base, name, before, after)
                for name, before, after in zip(names, published, corrected, strict=True)
            ],
        }
    )


def _erratum(base: str, name: str, before: object, after: object) -> str | None:
    if before != after:
        return f"grade {before} corrected to {after}"
    return "lies twice in Base33" if base == "Base33" and name in TWICE else None


def _instead(root: Path) -> str:
    sheets = len([*root.glob("Annotation*.xls*"), *root.glob("Base*/Annotation*.xls*")])
    return f"{sheets} spreadsheets, which are not read" if sheets else "no annotation"


MESSIDOR: Final = Source(
    name="messidor",
    title="Messidor",
    what="1,200 photographs (800 with dilated pupils), Messidor's own retinopathy grade 0-3, risk of macular oedema "
    "0-2, three departments in twelve bases",
    modality="fundus",
    licence="Messidor: research and education only, no redistribution",
    where="https://www.adcis.net/en/third-party/messidor/",
    citation="Decenciere et al., Feedback on a publicly distributed image database: the Messidor database, "
    "Image Anal Stereol 33 (2014) 231-234, doi 10.5566/ias.1155",
    layout="confirmed",
    layout_from=(
        "https://github.com/mikevoets/jama16-retina-replication/blob/15f2af3/messidor.sh",
        "https://github.com/mikevoets/jama16-retina-replication/blob/15f2af3/preprocess_messidor.py",
        "https://www.adcis.net/en/third-party/messidor/",
    ),
    read=read_messidor,
    notes=(
        "Annotations are .xls, which are not read: save each as CSV UTF-8 under the same name.",
        "Its grades are not ICDR: 0 to 3 count microaneurysms and haemorrhages, and none means proliferative alone. "
        "They stand in `messidor_grade`; `grade` is blank.",
        "13 photographs of Base33 lie in it twice; 4 grades of Base11 and Base13 were corrected by its publisher.",
        "1,058 of its photographs (every pair of eyes) are also in Messidor-2, as PNG. No patient is published here.",
    ),
)
