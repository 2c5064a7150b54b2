"""A structured report of one study: Comprehensive 3D SR by TID 1500, "Imaging Measurement Report" (PS3.16).

Each eye has a measurement group with its grade, and each photograph one with its probability, quality and heatmap. An
eye that cannot be graded, or of which there is no photograph, has a group that says so and never a grade.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fundoscope.grades import EYES, GRADE_NAMES, NOT_A_DEVICE
from fundoscope.photo.decoding.dicom_kind import OWN_MANUFACTURER
from fundoscope.runtime.answers import EyeAnswer, PatientAnswer
from fundoscope.runtime.language.texts import IN_ENGLISH
from fundoscope.runtime.output import codes
from fundoscope.runtime.output.dicom.concepts import concept
from fundoscope.runtime.output.dicom.identity import Identity
from fundoscope.runtime.output.dicom.sources import CONTROL, PATIENT, STUDY, Source, Study
from fundoscope.runtime.output.html import next_step_words
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row, is_blank
from fundoscope.version import __version__

if TYPE_CHECKING:
    from highdicom.sr import (
        AlgorithmIdentification,
        Comprehensive3DSR,
        ContentItem,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        QualitativeEvaluation,
    )
    from pydicom.dataset import Dataset

MANUFACTURER: Final = OWN_MANUFACTURER

SERIES_NUMBER: Final = 9601
"""Of the reports' series; that of the heatmaps' series follows. High, so that no camera's series has it."""

SERIES: Final = "fundoscope: grades of diabetic retinopathy"

UNIT: Final = ("1", "UCUM", "no units")
MONTH: Final = ("mo", "UCUM", "month")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A study with its answers."""

    study: Study
    rows: Sequence[Row]
    """Rows of the predictions table, one for each of the study's photographs."""
    answer: PatientAnswer
    """For the photographs of the study, which it counts from 0."""
    overall: PatientAnswer
    """For all of the patient's photographs in the run: its next step is reported."""
    program: str
    """What computed the release's network."""


def write_study(
    graded: Graded, opened: OpenRelease, identity: Identity, heatmaps: Mapping[int, Dataset]
) -> Comprehensive3DSR:
    """Return the report of a study.

    Args:
        graded: The study with its answers.
        opened: The release that answered, of the task dr-grade.
        identity: Whose objects are written.
        heatmaps: Secondary captures that may be shown, by the place of their photograph in the study.
    """
    import highdicom as hd
    from pydicom.uid import generate_uid

    images = [_evidence(source, graded.study, identity) for source in graded.study.images]
    algorithm = _algorithm(graded, opened)
    groups = [_eye_group(eye, graded, identity, algorithm) for eye in graded.answer.eyes]
    groups += [_missing_group(eye) for eye in graded.answer.missing if eye in EYES]
    groups += [
        _photograph_group(place, eye.eye, graded, opened, identity, algorithm, heatmaps.get(place))
        for eye in graded.answer.eyes
        for place in eye.photographs
    ]
    content = hd.sr.MeasurementReport(
        observation_context=_observer(opened),
        procedure_reported=concept(codes.IMAGING_PROCEDURE),
        imaging_measurements=groups,
        title=concept(codes.MEASUREMENT_REPORT),
        referenced_images=images,
    )
    _name_eyes(content[0], graded, identity)
    content[0].ContentSequence.append(_conclusions(graded))
    unread = any(row["status"] == "unreadable" for row in graded.rows)
    report = hd.sr.Comprehensive3DSR(
        evidence=[*images, *heatmaps.values()],
        content=content,
        series_instance_uid=generate_uid(prefix=None),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        series_description=SERIES,
        is_complete=not unread,
    )
    report.StudyDescription = identity.values(graded.study)["StudyDescription"]
    return report


def _evidence(source: Source, study: Study, identity: Identity) -> Dataset:
    """Return what a report takes over from a photograph's file: patient, study and its own identifiers."""
    from pydicom.dataset import Dataset

    evidence = Dataset()
    evidence.SpecificCharacterSet = "ISO_IR 192"
    values = identity.values(study)
    for keyword in (*PATIENT, *STUDY):
        if values[keyword] or keyword not in ("IssuerOfPatientID", "StudyDescription"):
            setattr(evidence, keyword, values[keyword])
    evidence.SOPClassUID = source.sop_class_uid
    evidence.SOPInstanceUID = identity.uid(source.sop_uid)
    evidence.SeriesInstanceUID = identity.uid(source.series_uid)
    evidence.Modality = source.modality
    evidence.Rows, evidence.Columns = source.rows, source.columns
    return evidence


def _name_eyes(content: Dataset, graded: Graded, identity: Identity) -> None:
    """Add the eye of each photograph, where it is known, to the image library."""
    from highdicom.sr import CodeContentItem, RelationshipTypeValues

    pairs = zip(graded.study.sources, graded.rows, strict=True)
    eyes = {identity.uid(source.sop_uid): row["eye"] for source, row in pairs if row["eye"] is not None}
    for item in content.ContentSequence:
        for group in item.get("ContentSequence", ()) if item.name == concept(codes.IMAGE_LIBRARY) else ():
            for image in group.ContentSequence:
                eye = eyes.get(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
                if eye is not None:
                    side = CodeContentItem(
                        name=concept(codes.IMAGE_LATERALITY),
                        value=concept(codes.SIDES[eye]),
                        relationship_type=RelationshipTypeValues.HAS_ACQ_CONTEXT,
                    )
                    image.ContentSequence.append(side)


def _observer(opened: OpenRelease) -> ObservationContext:
    import highdicom as hd
    from pydicom.uid import generate_uid

    attributes = hd.sr.DeviceObserverIdentifyingAttributes(
        # The same release is the same observer wherever it runs.
        uid=generate_uid(prefix=None, entropy_srcs=[opened.digest]),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=opened.name,
    )
    context = hd.sr.ObserverContext(observer_type=concept(codes.DEVICE), observer_identifying_attributes=attributes)
    return hd.sr.ObservationContext(observer_device_context=context)


def _algorithm(graded: Graded, opened: OpenRelease) -> AlgorithmIdentification:
    import highdicom as hd

    point = opened.operating_point
    parameters = [
        f"release.json SHA-256: {opened.digest}",
        f"referred from a probability of {point.threshold:g} ({point.name})",
        f"fundoscope {__version__}",
        f"computed by {graded.program}",
    ]
    return hd.sr.AlgorithmIdentification(
        name=opened.release.id,
        version=f"{opened.release.version} ({opened.name})",
        parameters=parameters,
        family=concept(codes.ARTIFICIAL_INTELLIGENCE),
        manufacturer=MANUFACTURER,
    )


def _group(
    name: str,
    eye: str | None,
    *,
    evaluations: Sequence[QualitativeEvaluation] = (),
    measurements: Sequence[Measurement] = (),
    images: Sequence[tuple[str, str]] = (),
    algorithm: AlgorithmIdentification | None = None,
) -> MeasurementsAndQualitativeEvaluations:
    """Return a measurement group (TID 1501) of a retina, whose side is left open where it is not known."""
    import highdicom as hd

    side = None if eye is None else concept(codes.SIDES[eye])
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(identifier=name, uid=hd.UID()),
        finding_sites=[hd.sr.FindingSite(anatomic_location=concept(codes.RETINA), laterality=side)],
        algorithm_id=algorithm,
        qualitative_evaluations=list(evaluations) or None,
        measurements=list(measurements) or None,
        source_images=[hd.sr.SourceImageForMeasurementGroup(*image) for image in images] or None,
    )


def _eye_group(
    eye: EyeAnswer, graded: Graded, identity: Identity, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    grade = codes.grade_of(eye, graded.rows)
    if grade is None:
        evaluations = [
            _evaluation(codes.QUALITY_ASSESSMENT, codes.UNUSABLE),
            _evaluation(codes.QUALITY_FINDING, codes.INSUFFICIENT_QUALITY),
        ]
        words = eye.decision
    else:
        evaluations = [_evaluation(codes.severity(eye.eye), codes.grade_code(grade, eye.eye))]
        words = f"{eye.decision}: grade {grade}, {GRADE_NAMES[grade]}"
    read = [place for place in eye.photographs if graded.rows[place]["status"] != "unreadable"]
    sources = [graded.study.sources[place] for place in read]
    images = dict.fromkeys(image for source in sources for image in _reference(source, identity))
    group = _group(
        IN_ENGLISH.eye("eye", eye.eye), eye.eye, evaluations=evaluations, images=list(images), algorithm=algorithm
    )
    group[0].ContentSequence.append(_text(codes.CONCLUSION, words))
    return group


def _missing_group(eye: str) -> MeasurementsAndQualitativeEvaluations:
    evaluation = _evaluation(codes.severity(eye), codes.NOT_DONE)
    group = _group(IN_ENGLISH.eye("eye", eye), eye, evaluations=[evaluation])
    group[0].ContentSequence.append(
        _text(codes.CONCLUSION, f"not examined: the study has no photograph of the {eye} eye")
    )
    return group


def _photograph_group(
    place: int,
    eye: str | None,
    graded: Graded,
    opened: OpenRelease,
    identity: Identity,
    algorithm: AlgorithmIdentification,
    heatmap: Dataset | None,
) -> MeasurementsAndQualitativeEvaluations:
    source, row = graded.study.sources[place], graded.rows[place]
    evaluations = []
    if row["status"] != "unreadable" and row["quality"] is not None:
        evaluations.append(_evaluation(codes.QUALITY_ASSESSMENT, codes.QUALITIES[row["quality"]]))
    if row["status"] == "ungradable":
        evaluations.append(_evaluation(codes.QUALITY_FINDING, codes.INSUFFICIENT_QUALITY))
    group = _group(
        f"Photograph {place + 1}",
        eye,
        evaluations=evaluations,
        measurements=_probability(row, opened) if row["status"] == "graded" else (),
        images=_reference(source, identity),
        algorithm=algorithm,
    )
    items = group[0].ContentSequence
    items.append(_text(codes.COMMENT, _about(row)))
    if heatmap is not None:
        items.append(_explanation(heatmap, opened))
    return group


def _reference(source: Source, identity: Identity) -> list[tuple[str, str]]:
    """Return class and identifier of a photograph; nothing where it has none that a report could name."""
    return [(source.sop_class_uid, identity.uid(source.sop_uid))] if source.can_be_referenced else []


def _about(row: Row) -> str:
    """Return what became of a photograph, in words that hold no name of a file."""
    state = "could not be read" if row["status"] == "unreadable" else str(row["decision"])
    reason = row["reason"] or ""
    return f"{state}. {reason}" if reason else f"{state}."


def _probability(row: Row, opened: OpenRelease) -> list[Measurement]:
    """Return the probability of a referable grade and the threshold that it is compared with."""
    import highdicom as hd

    if is_blank(row["p_referable"]):
        return []
    unit = concept(UNIT)
    point = opened.operating_point
    probability = hd.sr.Measurement(name=concept(codes.PROBABILITY), value=float(row["p_referable"]), unit=unit)
    threshold = hd.sr.Measurement(name=concept(codes.OPERATING_POINT), value=point.threshold, unit=unit)
    _describe(probability, codes.COMMENT, "Probability of grade 2 or above (referable retinopathy)")
    _describe(threshold, codes.OPERATING_POINT_DESCRIPTION, f"Referred from this probability on: {point.name}")
    return [probability, threshold]


def _describe(measurement: Measurement, name: codes.Triple, words: str) -> None:
    from highdicom.sr import ContentSequence, RelationshipTypeValues

    item = measurement[0]
    if "ContentSequence" not in item:
        item.ContentSequence = ContentSequence()
    text = _text(name, words)
    text.RelationshipType = RelationshipTypeValues.HAS_PROPERTIES.value
    item.ContentSequence.append(text)


def _explanation(heatmap: Dataset, opened: OpenRelease) -> ContentItem:
    """Return the reference to a heatmap with the method that computed it, where the standard has a code for it."""
    from highdicom.sr import (
        CodeContentItem,
        ContentSequence,
        ImageContentItem,
        RelationshipTypeValues,
    )

    item = ImageContentItem(
        name=concept(codes.VISUAL_EXPLANATION),
        referenced_sop_class_uid=heatmap.SOPClassUID,
        referenced_sop_instance_uid=heatmap.SOPInstanceUID,
        relationship_type=RelationshipTypeValues.CONTAINS,
    )
    method = codes.METHODS.get(opened.release.heatmap)
    if method is not None:
        child = CodeContentItem(
            name=concept(codes.METHOD),
            value=concept(method),
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
        item.ContentSequence = ContentSequence([child])
    return item


def _conclusions(graded: Graded) -> ContentItem:
    """Return what happens next with the patient, and what is to be known of the answer."""
    from highdicom.sr import ContainerContentItem, ContentSequence, NumContentItem, RelationshipTypeValues

    answer, overall = graded.answer, graded.overall
    items = [_text(codes.CONCLUSION, f"Patient: {overall.decision}")]
    items.append(_text(codes.RECOMMENDATION, next_step_words(overall, IN_ENGLISH)))
    if overall.next_step is not None:
        months = NumContentItem(
            name=concept(codes.FOLLOW_UP_INTERVAL),
            value=overall.next_step.months[1],
            unit=concept(MONTH),
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        items.append(months)
    notes = list(answer.notes)
    if others := len(overall.photographs) - len(answer.photographs):
        notes.append(
            f"Conclusion and recommendation are the patient's: they also count {others} photographs of other studies."
        )
    items += [_text(codes.COMMENT, note) for note in (*notes, NOT_A_DEVICE)]
    container = ContainerContentItem(
        name=concept(codes.QUALITATIVE_EVALUATIONS), relationship_type=RelationshipTypeValues.CONTAINS
    )
    container.ContentSequence = ContentSequence(items)
    return container


def _evaluation(name: codes.Triple, value: codes.Triple) -> QualitativeEvaluation:
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(name=concept(name), value=concept(value))


def _text(name: codes.Triple, words: str) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    # Control characters are no text of DICOM; damaged files bring them in.
    return TextContentItem(
        name=concept(name), value=CONTROL.sub(" ", words), relationship_type=RelationshipTypeValues.CONTAINS
    )
