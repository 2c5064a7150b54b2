"""A photograph under its heatmap, as a DICOM Secondary Capture in the study of the photograph."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from fundoscope.arrays import Photo
from fundoscope.photo.illustration import Illustration
from fundoscope.runtime.output.dicom.identity import Identity
from fundoscope.runtime.output.dicom.sources import Source, Study
from fundoscope.version import __version__

if TYPE_CHECKING:
    from highdicom.sc import SCImage

SERIES: Final = "fundoscope: heatmaps"

DESCRIPTION: Final = "Photograph under the heatmap of a network. Not a map of lesions."


def draw_heatmap(illustration: Illustration) -> Photo | None:
    """Return a photograph under its heatmap; None where it has none that may be shown."""
    if illustration.overlay is None:
        return None
    photograph = _picture(illustration.photograph).convert("RGB")
    overlay = _picture(illustration.overlay).convert("RGBA").resize(photograph.size, Image.Resampling.BILINEAR)
    photograph.paste(overlay, mask=overlay)
    return np.asarray(photograph)


def _picture(uri: str) -> Image.Image:
    """Return the picture that a data: URI holds."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def capture(
    pixels: Photo, source: Source, study: Study, identity: Identity, *, series_uid: str, number: int, eye: str | None
) -> SCImage:
    """Return a heatmap as a Secondary Capture.

    Args:
        pixels: The photograph under its heatmap.
        source: The photograph.
        study: Its study.
        identity: Whose objects are written.
        series_uid: Of the study's heatmaps.
        number: Of the heatmap in its series, from 1.
        eye: left, right, or None where it is not known.
    """
    import highdicom as hd
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    from fundoscope.runtime.output.dicom.report import MANUFACTURER, SERIES_NUMBER

    values = identity.values(study)
    image = hd.sc.SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        # Photographs name no directions of the body; the element may be empty, which the library does not offer.
        patient_orientation=("L", "F"),
        study_instance_uid=values["StudyInstanceUID"],
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER + 1,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        series_description=SERIES,
        patient_id=values["PatientID"],
        patient_name=values["PatientName"],
        patient_birth_date=values["PatientBirthDate"] or None,
        patient_sex=values["PatientSex"],
        accession_number=values["AccessionNumber"],
        study_id=values["StudyID"],
        study_date=values["StudyDate"] or None,
        study_time=values["StudyTime"] or None,
        referring_physician_name=values["ReferringPhysicianName"],
        specific_character_set="ISO_IR 192",
    )
    image["PatientOrientation"].clear()
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.DerivationDescription = DESCRIPTION
    if eye is not None:
        image.Laterality = eye[0].upper()
    if source.burned_in in ("YES", "NO"):
        image.BurnedInAnnotation = source.burned_in
    for keyword in ("IssuerOfPatientID", "StudyDescription"):
        if values[keyword]:
            setattr(image, keyword, values[keyword])
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class_uid
    reference.ReferencedSOPInstanceUID = identity.uid(source.sop_uid)
    image.SourceImageSequence = [reference]
    return image
