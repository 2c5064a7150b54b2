"""Texts of reports in English, by key; what stands in braces is filled in.

Every other language has the same keys with the same names in braces. `.one` and `.many` are of counts: one, and any
other number.
"""

from __future__ import annotations

from typing import Final

from fundoscope.grades import GRADE_NAMES, NOT_A_DEVICE

ENGLISH: Final[dict[str, str]] = {
    "notice": NOT_A_DEVICE,
    # Head of a page.
    "photographs.one": "{count} photograph",
    "photographs.many": "{count} photographs",
    "release": "release {name} {version}",
    "pages": "Pages",
    "page": "page {number}",
    # Margins of a printed page; "Page 2 of 14" is put together from two of them.
    "print.report": "Report of {day}, release {name} {version}",
    "print.patient": "Patient {patient}, examined {days}",
    "print.page": "Page",
    "print.of": "of",
    # Patients and eyes.
    "patient": "Patient {patient}",
    "patient.unknown": "Patient not stated",
    "list.patient": "Patient",
    "list.answer": "Answer and next step",
    "list.eyes": "Eyes and photographs",
    "eye.left": "Left eye",
    "eye.right": "Right eye",
    "eye.unknown": "Eye not stated",
    "eye.short.left": "left",
    "eye.short.right": "right",
    "eye.short.unknown": "eye not stated",
    "eye.object.left": "the left eye",
    "eye.object.right": "the right eye",
    "eye.object.unknown": "both eyes and name them left and right",
    "and": "{first} and {second}",
    "days.on": "{day}",
    "days.between": "{first} to {last}",
    "days.unknown": "date not stated",
    "examined": "Examined: {days}.",
    # Notes on a patient's answer.
    "note.placeholder": "Patient named {name}, a placeholder: answered as a patient who is not known.",
    "note.unknown_eye.one": (
        "Eye not known of {count} photograph: it is not known whether both eyes were photographed."
    ),
    "note.unknown_eye.many": (
        "Eye not known of {count} photographs: it is not known whether both eyes were photographed."
    ),
    "note.one_eye.left": "One eye only: no photograph of the left eye.",
    "note.one_eye.right": "One eye only: no photograph of the right eye.",
    "note.unread.left": "{unread} of {count} photographs of the left eye could not be read.",
    "note.unread.right": "{unread} of {count} photographs of the right eye could not be read.",
    # The next step.
    "next": "Next step:",
    "next.refer": "Refer to an eye specialist: {interval}.",
    "next.also": "Photograph {eyes} now.",
    "next.photograph": "Photograph {eyes} now; if there is no answer then either, refer for an examination.",
    "next.rescreen": "Next screening: {interval}.",
    "next.unknown_patient": "No next step: the patient is not known. Name patients and eyes in a manifest.",
    "interval.now": "now",
    "interval.within.one": "within {count} month",
    "interval.within.many": "within {count} months",
    "interval.between": "{first} to {last} months",
    "intervals": "Intervals",
    "intervals.text": (
        "are those of the International Council of Ophthalmology (Guidelines for Diabetic Eye Care 2017; doi "
        "10.1016/j.ophtha.2018.04.007) for the worst grade. Without a grade a referral has the shortest, and the next "
        "screening is that of mild retinopathy, also where none was found: mild signs are missed most easily. They are "
        "for retinopathy alone: the grader does not look for macular oedema, which may need an earlier visit."
    ),
    # A photograph.
    "picture": "Photograph",
    "picture.of": "Photograph {image}",
    "picture.retouched.one": "Photograph; {count} speck of the camera's sensor retouched before grading",
    "picture.retouched.many": "Photograph; {count} specks of the camera's sensor retouched before grading",
    "picture.rings": "(rings)",
    "picture.none": "No picture:",
    "picture.changed": "the file has changed since it was read.",
    "heatmap": "Where the network looked (own scale)",
    "heatmap.of": "Where the network looked in {image}",
    "heatmap.less": "less",
    "heatmap.more": "more",
    "heatmap.overlay": "overlay",
    "heatmap.none": "No heatmap is shown: {why}.",
    "quality": "Picture quality: {quality}",
    "quality.good": "good",
    "quality.usable": "usable",
    "quality.reject": "reject",
    "quality.none": "none",
    "quality.field_size": "field size",
    "quality.sharpness": "sharpness",
    "quality.exposure": "exposure",
    "quality.contrast": "contrast",
    "quality.vessels": "vessels",
    "quality.marks": "Marks: the least this release accepts.",
    "origin.taken": "Taken {time}.",
    "origin.file": "File SHA-256 {digest}",
    "origin.dust": "Dust map {digest}",
    # The release.
    "about": "About this release",
    "about.release": "Release",
    "about.release.text": "{name} {version}, {licence}, SHA-256 of its description {digest}",
    "about.use": "Intended use",
    "about.limits": "Limits",
    "about.measured": "Measured",
    "about.eyes": "Both eyes",
    "about.eyes.text": (
        "Each photograph is answered together with one of the same patient's other eye, as the manifest names it. "
        "Where there is none, or it cannot be read or is not good enough, a stand-in that the network learnt takes its "
        "place, and the photograph's reason says so."
    ),
    "about.eyes.heatmap": "The overlay shows the photograph itself alone.",
    "about.overlay": "The overlay",
    "about.overlay.text": (
        "shows which coarse regions of the picture spoke for {supported} in the network's answer ({method}). Its scale "
        "is relative to the strongest region of the same photograph: colours of two photographs cannot be compared, "
        "and it is shown only for the decision {decisions}. It is not a map of lesions: a region can hold lesions and "
        "stay dark, and the other way round. It is {why}."
    ),
    # Grading retinopathy.
    **{f"grade.{grade}": name for grade, name in enumerate(GRADE_NAMES)},
    "dr-grade.title": "Diabetic retinopathy report",
    "dr-grade.done": "Graded {time} with {release}.",
    "dr-grade.supported": "retinopathy",
    "dr-grade.patient_rule": (
        "The worst eye that was photographed decides for a patient; one that was not is named, and photographed next. "
        "An eye that cannot be graded is never counted as healthy, and is referred where its probability of referable "
        "retinopathy reaches the threshold of gradable ones."
    ),
    "dr-grade.scale": "The grades",
    "dr-grade.scale.text": (
        "International Clinical Diabetic Retinopathy scale, 0 to 4. Macular oedema and other diseases are not "
        "looked for."
    ),
    "dr-grade.not_looked_for": "Diabetic macular oedema and other diseases of the eye were not looked for.",
    "dr-grade.urgent": "sight-threatening: soon",
    "dr-grade.refer": "refer",
    "dr-grade.refer.meaning": "Signs of referable retinopathy (moderate or worse): to be seen by an eye specialist.",
    "dr-grade.cannot grade, refer": "cannot grade, refer",
    "dr-grade.cannot grade, refer.meaning": (
        "Not good enough to be graded, but what the network makes of it would be referred: to be seen by an eye "
        "specialist. Its probability is not calibrated on such photographs."
    ),
    "dr-grade.cannot grade": "cannot grade",
    "dr-grade.cannot grade.meaning": (
        "Not good enough to be graded: to be photographed again or seen by a person. This is not a healthy result."
    ),
    "dr-grade.rescreen": "rescreen",
    "dr-grade.rescreen.meaning": "No sign of referable retinopathy: back at the next regular screening.",
    "dr-grade.heading": "Grade {grade}: {name}",
    "dr-grade.heading.none": "Not graded",
    "dr-grade.brief": "grade {grade}",
    "dr-grade.brief.none": "not graded",
    "dr-grade.caution": "The photograph is not good enough to be graded. It does not count as healthy.",
    "dr-grade.caution.refer": (
        "The photograph is not good enough to be graded. It is referred because the network finds referable "
        "retinopathy likely; that probability is not calibrated on such photographs."
    ),
    "dr-grade.referable": "Referable (grade {grade} or higher)",
    "dr-grade.votes": "The probabilities are votes of the {count} nearest training photographs.",
    "dr-grade.by_cuts": (
        "The grade is their mean, {mean}, cut into grades; where that is improbable, the nearest probable one."
    ),
    "dr-grade.by_median": "The grade is their median; where that is improbable, the nearest probable one.",
    "dr-grade.threshold": "Referred from {threshold} (the mark on the last bar), or with grade {grade} or higher.",
    "dr-grade.description": "Closest description: {description}.",
    "dr-grade.set": "{coverage} prediction set: {grades}.",
    "dr-grade.set.all": "all grades, none can be excluded",
    "dr-grade.sets": "Prediction sets",
    "dr-grade.sets.photograph": (
        "The prediction set contains the reference grade at least {coverage} of the time: of a photograph of a new "
        "patient, all of hers equally likely, on average over patients like the {patients} that the sets were "
        "calibrated on. It is no statement about this one patient, and holds neither for one grade, camera or clinic "
        "alone nor for patients of another population."
    ),
    "dr-grade.sets.patient": (
        "The prediction set contains the reference grade at least {coverage} of the time: of all photographs of a new "
        "patient at once, on average over patients like the {patients} that the sets were calibrated on. It is no "
        "statement about this one patient, and holds neither for one grade, camera or clinic alone nor for patients of "
        "another population."
    ),
    "dr-grade.sets.groups": "Each {column} with enough patients has a threshold of its own ({names}).",
    "dr-grade.sets.no_groups": "Each {column} with enough patients has a threshold of its own (none).",
    # Finding signs.
    "signs.title": "Report on signs in retinal photographs",
    "signs.done": "Assessed {time} with {release}.",
    "signs.supported": "the likeliest sign",
    "signs.patient_rule": (
        "A sign counts as found in a patient if it was found in any photograph that could be assessed. A patient "
        "without a finding and with an eye that could not be assessed is not counted as free of signs; an eye that was "
        "not photographed is named."
    ),
    "signs.scale": "The signs",
    "signs.scale.text": (
        "Each sign is answered by itself, so the probabilities do not sum to 1. No grade is given and nobody is "
        "referred by this report."
    ),
    "signs.not_looked_for": "Only the named signs were looked for.",
    "signs.signs present": "signs present",
    "signs.signs present.meaning": "At least one of the signs was found.",
    "signs.no sign found": "no sign found",
    "signs.no sign found.meaning": (
        "None of the signs was found. Signs that were not looked for may be there all the same."
    ),
    "signs.cannot assess": "cannot assess",
    "signs.cannot assess.meaning": "Not good enough to be assessed. This is not a healthy result.",
    "signs.heading": "Signs: {signs}",
    "signs.heading.absent": "No sign found",
    "signs.heading.none": "Not assessed",
    "signs.brief.none": "not assessed",
    "signs.caution": "The photograph is not good enough to be assessed. It does not count as free of signs.",
    "signs.note": "A sign counts as present from its mark on.",
    # Classifying.
    "classes.title": "Classification of retinal photographs",
    "classes.done": "Classified {time} with {release}.",
    "classes.supported": "the class",
    "classes.patient_rule": (
        "A patient has the classes of all photographs that could be assessed; one whose eye could not be assessed "
        "counts as not assessed."
    ),
    "classes.scale": "The classes",
    "classes.scale.text": "The probabilities of the classes sum to 1, also where the picture shows none of them.",
    "classes.not_looked_for": "Nothing but the named classes was looked for.",
    "classes.classified": "classified",
    "classes.classified.meaning": "The likeliest class is given for each photograph.",
    "classes.cannot assess": "cannot assess",
    "classes.cannot assess.meaning": "Not good enough to be classified. This is not a healthy result.",
    "classes.heading": "{column}: {name}",
    "classes.heading.none": "Not assessed",
    "classes.brief.none": "not assessed",
    "classes.caution": "The photograph is not good enough to be assessed. It has no class.",
    # What to do about a photograph that cannot be graded (`runtime.tasks.recapture`).
    "recapture": "Photograph again:",
    "recapture.align": "line the camera up with the pupil until the retina fills the picture.",
    "recapture.one_retina": "save one photograph of one eye in each file.",
    "recapture.colour": "take a colour photograph, not a red-free one or an angiogram.",
    "recapture.original": "export the original, in its own proportions and on black.",
    "recapture.larger": "export it in the camera's full resolution.",
    "recapture.centre": "move until the whole round field is in the picture, with the macula in its centre.",
    "recapture.lid": "hold the lid, and ask the patient to open the eye wide.",
    "recapture.more_light": "raise the flash, or darken the room and wait for the pupil to widen.",
    "recapture.less_light": "lower the flash.",
    "recapture.focus": "focus on the vessels beside the disc, and ask the patient to blink and hold still.",
    "recapture.lens": (
        "wipe the lens. If the next one is as hazy, the eye's own media may be: let a person look at the eye."
    ),
    "quality.cut_off": "cut off",
    "reason:no retina to be seen in the scan": "no retina to be seen in the scan",
    "reason:the retina is cut off at the edge of the scan": "the retina is cut off at the edge of the scan",
    "reason:the signal of the scan is weak": "the signal of the scan is weak",
    "reason:not an OCT scan: expected a grey picture without a round field, got another. Export the scan alone.": (
        "not an OCT scan: expected a grey picture without a round field, got another. Export the scan alone."
    ),
    "recapture.scan": "export the OCT scan alone, in grey, without the report around it.",
    "recapture.scan_position": "move the scan until the whole retina lies within its height.",
    "recapture.scan_signal": "centre the pupil, ask the patient to blink, clean the lens, and scan again.",
    "recapture.again": "export the file again, or take the photograph again.",
    # What lowers the quality of a photograph: phrases of `photo.quality`, as they stand in a table's reasons.
    "reason.at_least": "{name} {value}, at least {least} needed",
    "reason:too little of the retina in the picture": "too little of the retina in the picture",
    "reason:part of the retina is missing": "part of the retina is missing",
    "reason:too dark": "too dark",
    "reason:rather dark": "rather dark",
    "reason:washed out": "washed out",
    "reason:rather pale": "rather pale",
    "reason:out of focus": "out of focus",
    "reason:rather soft": "rather soft",
    "reason:too little contrast": "too little contrast",
    "reason:little contrast": "little contrast",
    "reason:no vessels to be seen": "no vessels to be seen",
    "reason:vessels are hard to see": "vessels are hard to see",
    "reason:Graded without the other eye": "Graded without the other eye",
    "reason:no photograph of it is known": "no photograph of it is known",
    "reason:could not be read": "could not be read",
    "reason:is not gradable": "is not gradable",
    "reason:no retina found: not a fundus photograph": "no retina found: not a fundus photograph",
}
