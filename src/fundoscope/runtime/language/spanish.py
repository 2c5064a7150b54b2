"""Texts of reports in Spanish, by the keys of `english`."""

from __future__ import annotations

from typing import Final

SPANISH: Final[dict[str, str]] = {
    "notice": (
        "Programa de investigación, no es un producto sanitario: sus respuestas no deben usarse para diagnosticar ni "
        "para decidir un tratamiento."
    ),
    "photographs.one": "{count} fotografía",
    "photographs.many": "{count} fotografías",
    "release": "versión {name} {version}",
    "pages": "Páginas",
    "page": "página {number}",
    "print.report": "Informe del {day}, versión {name} {version}",
    "print.patient": "Paciente {patient}, examen {days}",
    "print.page": "Página",
    "print.of": "de",
    "patient": "Paciente {patient}",
    "patient.unknown": "Paciente no indicado",
    "list.patient": "Paciente",
    "list.answer": "Respuesta y siguiente paso",
    "list.eyes": "Ojos y fotografías",
    "eye.left": "Ojo izquierdo",
    "eye.right": "Ojo derecho",
    "eye.unknown": "Ojo no indicado",
    "eye.short.left": "izquierdo",
    "eye.short.right": "derecho",
    "eye.short.unknown": "ojo no indicado",
    "eye.object.left": "el ojo izquierdo",
    "eye.object.right": "el ojo derecho",
    "eye.object.unknown": "ambos ojos e indicar cuál es el izquierdo y cuál el derecho",
    "and": "{first} y {second}",
    "days.on": "{day}",
    "days.between": "{first} a {last}",
    "days.unknown": "fecha no indicada",
    "examined": "Examen: {days}.",
    "note.placeholder": (
        "El nombre del paciente, {name}, es un texto de relleno: se responde como paciente desconocido."
    ),
    "note.unknown_eye.one": (
        "No se sabe de qué ojo es {count} fotografía: no se sabe si se fotografiaron los dos ojos."
    ),
    "note.unknown_eye.many": (
        "No se sabe de qué ojo son {count} fotografías: no se sabe si se fotografiaron los dos ojos."
    ),
    "note.one_eye.left": "Un solo ojo: no hay fotografía del ojo izquierdo.",
    "note.one_eye.right": "Un solo ojo: no hay fotografía del ojo derecho.",
    "note.unread.left": "No se pudieron leer {unread} de {count} fotografías del ojo izquierdo.",
    "note.unread.right": "No se pudieron leer {unread} de {count} fotografías del ojo derecho.",
    "next": "Siguiente paso:",
    "next.refer": "Derivar a oftalmología: {interval}.",
    "next.also": "Fotografiar {eyes} ahora.",
    "next.photograph": "Fotografiar {eyes} ahora; si tampoco entonces hay respuesta, derivar para una exploración.",
    "next.rescreen": "Próximo cribado: {interval}.",
    "next.unknown_patient": (
        "Sin siguiente paso: no se conoce al paciente. Indique pacientes y ojos en un manifiesto."
    ),
    "interval.now": "ahora",
    "interval.within.one": "en menos de {count} mes",
    "interval.within.many": "en menos de {count} meses",
    "interval.between": "de {first} a {last} meses",
    "intervals": "Intervalos",
    "intervals.text": (
        "Son los del International Council of Ophthalmology (Guidelines for Diabetic Eye Care 2017; doi "
        "10.1016/j.ophtha.2018.04.007) para el peor grado. Una derivación sin grado tiene el más corto, y el próximo "
        "cribado es el de la retinopatía leve aunque no se haya encontrado ninguna: los signos leves son los que más "
        "fácilmente se pasan por alto. Son solo para la retinopatía: no se busca el edema macular, que puede requerir "
        "una visita más temprana."
    ),
    "picture": "Fotografía",
    "picture.of": "Fotografía {image}",
    "picture.retouched.one": "Fotografía; {count} mota del sensor de la cámara retocada antes de graduar",
    "picture.retouched.many": "Fotografía; {count} motas del sensor de la cámara retocadas antes de graduar",
    "picture.rings": "(anillos)",
    "picture.none": "Sin imagen:",
    "picture.changed": "el archivo ha cambiado desde que se leyó.",
    "heatmap": "Dónde miró la red (escala propia)",
    "heatmap.of": "Dónde miró la red en {image}",
    "heatmap.less": "menos",
    "heatmap.more": "más",
    "heatmap.overlay": "superposición",
    "heatmap.none": "No se muestra ningún mapa de calor: {why}.",
    "quality": "Calidad de la imagen: {quality}",
    "quality.good": "buena",
    "quality.usable": "aceptable",
    "quality.reject": "rechazada",
    "quality.none": "ninguna",
    "quality.field_size": "campo",
    "quality.sharpness": "nitidez",
    "quality.exposure": "exposición",
    "quality.contrast": "contraste",
    "quality.vessels": "vasos",
    "quality.marks": "Marcas: lo mínimo que acepta esta versión.",
    "origin.taken": "Tomada {time}.",
    "origin.file": "SHA-256 del archivo {digest}",
    "origin.dust": "Mapa de polvo {digest}",
    "about": "Acerca de esta versión",
    "about.release": "Versión",
    "about.release.text": "{name} {version}, {licence}, SHA-256 de su descripción {digest}",
    "about.use": "Uso previsto",
    "about.limits": "Límites",
    "about.measured": "Medido",
    "about.eyes": "Ambos ojos",
    "about.eyes.text": (
        "Cada fotografía se responde junto con una del otro ojo del mismo paciente, según el manifiesto. Si no la hay, "
        "no se puede leer o no es lo bastante buena, ocupa su lugar un sustituto que la red aprendió, y el motivo de "
        "la fotografía lo dice."
    ),
    "about.eyes.heatmap": "La superposición muestra solo la propia fotografía.",
    "about.overlay": "La superposición",
    "about.overlay.text": (
        "Muestra qué regiones aproximadas de la imagen apoyaron {supported} en la respuesta de la red ({method}). Su "
        "escala es relativa a la región más fuerte de la misma fotografía: los colores de dos fotografías no se pueden "
        "comparar, y solo se muestra con la decisión {decisions}. No es un mapa de lesiones: una región puede tener "
        "lesiones y quedar oscura, y al revés. Estado: {why}."
    ),
    "grade.0": "sin retinopatía",
    "grade.1": "no proliferativa leve",
    "grade.2": "no proliferativa moderada",
    "grade.3": "no proliferativa grave",
    "grade.4": "proliferativa",
    "dr-grade.title": "Informe de retinopatía diabética",
    "dr-grade.done": "Graduada {time} con {release}.",
    "dr-grade.supported": "la retinopatía",
    "dr-grade.patient_rule": (
        "El peor ojo fotografiado decide por el paciente; el que no se fotografió se nombra y es el siguiente que se "
        "fotografía. Un ojo que no se puede graduar nunca cuenta como sano, y se deriva si su probabilidad de "
        "retinopatía derivable alcanza el umbral de las fotografías graduables."
    ),
    "dr-grade.scale": "Los grados",
    "dr-grade.scale.text": (
        "Escala International Clinical Diabetic Retinopathy, de 0 a 4. No se buscan el edema macular ni otras "
        "enfermedades."
    ),
    "dr-grade.not_looked_for": "No se buscaron el edema macular diabético ni otras enfermedades del ojo.",
    "dr-grade.urgent": "amenaza la visión: pronto",
    "dr-grade.refer": "derivar",
    "dr-grade.refer.meaning": "Signos de retinopatía derivable (moderada o peor): debe verlo oftalmología.",
    "dr-grade.cannot grade, refer": "no graduable, derivar",
    "dr-grade.cannot grade, refer.meaning": (
        "No es lo bastante buena para graduarla, pero lo que la red ve en ella se derivaría: debe verlo oftalmología. "
        "Su probabilidad no está calibrada en tales fotografías."
    ),
    "dr-grade.cannot grade": "no graduable",
    "dr-grade.cannot grade.meaning": (
        "No es lo bastante buena para graduarla: hay que fotografiar de nuevo o que la vea una persona. Este no es un "
        "resultado sano."
    ),
    "dr-grade.rescreen": "cribado de rutina",
    "dr-grade.rescreen.meaning": "Sin signos de retinopatía derivable: volver al próximo cribado de rutina.",
    "dr-grade.heading": "Grado {grade}: {name}",
    "dr-grade.heading.none": "Sin graduar",
    "dr-grade.brief": "grado {grade}",
    "dr-grade.brief.none": "sin graduar",
    "dr-grade.caution": "La fotografía no es lo bastante buena para graduarla. No cuenta como sana.",
    "dr-grade.caution.refer": (
        "La fotografía no es lo bastante buena para graduarla. Se deriva porque la red considera probable una "
        "retinopatía derivable; esa probabilidad no está calibrada en tales fotografías."
    ),
    "dr-grade.referable": "Derivable (grado {grade} o más)",
    "dr-grade.votes": "Las probabilidades son votos de las {count} fotografías de entrenamiento más cercanas.",
    "dr-grade.by_cuts": (
        "El grado es su media, {mean}, dividida en grados; donde ese es improbable, el más cercano que no lo es."
    ),
    "dr-grade.by_median": "El grado es su mediana; donde ese es improbable, el más cercano que no lo es.",
    "dr-grade.threshold": "Se deriva desde {threshold} (la marca de la última barra), o con grado {grade} o más.",
    "dr-grade.description": "Descripción más cercana: {description}.",
    "dr-grade.set": "Conjunto de predicción del {coverage}: {grades}.",
    "dr-grade.set.all": "todos los grados, ninguno se puede excluir",
    "dr-grade.sets": "Conjuntos de predicción",
    "dr-grade.sets.photograph": (
        "El conjunto de predicción contiene el grado de referencia al menos el {coverage} de las veces: en una "
        "fotografía de un paciente nuevo, todas las suyas con igual probabilidad, en promedio sobre pacientes como los "
        "{patients} con los que se calibraron los conjuntos. No afirma nada sobre este paciente, y no vale para un "
        "grado, una cámara o una clínica por separado ni para pacientes de otra población."
    ),
    "dr-grade.sets.patient": (
        "El conjunto de predicción contiene el grado de referencia al menos el {coverage} de las veces: en todas las "
        "fotografías de un paciente nuevo a la vez, en promedio sobre pacientes como los {patients} con los que se "
        "calibraron los conjuntos. No afirma nada sobre este paciente, y no vale para un grado, una cámara o una "
        "clínica por separado ni para pacientes de otra población."
    ),
    "dr-grade.sets.groups": "Cada valor de {column} con bastantes pacientes tiene su propio umbral ({names}).",
    "dr-grade.sets.no_groups": "Cada valor de {column} con bastantes pacientes tiene su propio umbral (ninguno).",
    "signs.title": "Informe de signos en fotografías de retina",
    "signs.done": "Evaluada {time} con {release}.",
    "signs.supported": "el signo más probable",
    "signs.patient_rule": (
        "Un signo cuenta como hallado en un paciente si se halló en cualquier fotografía que se pudo evaluar. Un "
        "paciente sin hallazgos y con un ojo que no se pudo evaluar no cuenta como libre de signos; el ojo que no se "
        "fotografió se nombra."
    ),
    "signs.scale": "Los signos",
    "signs.scale.text": (
        "Cada signo se responde por separado, así que las probabilidades no suman 1. Este informe no da ningún grado y "
        "no deriva a nadie."
    ),
    "signs.not_looked_for": "Solo se buscaron los signos nombrados.",
    "signs.signs present": "signos presentes",
    "signs.signs present.meaning": "Se halló al menos uno de los signos.",
    "signs.no sign found": "ningún signo hallado",
    "signs.no sign found.meaning": ("No se halló ninguno de los signos. Puede haber otros signos que no se buscaron."),
    "signs.cannot assess": "no evaluable",
    "signs.cannot assess.meaning": "No es lo bastante buena para evaluarla. Este no es un resultado sano.",
    "signs.heading": "Signos: {signs}",
    "signs.heading.absent": "Ningún signo hallado",
    "signs.heading.none": "Sin evaluar",
    "signs.brief.none": "sin evaluar",
    "signs.caution": "La fotografía no es lo bastante buena para evaluarla. No cuenta como libre de signos.",
    "signs.note": "Un signo cuenta como presente a partir de su marca.",
    "classes.title": "Clasificación de fotografías de retina",
    "classes.done": "Clasificada {time} con {release}.",
    "classes.supported": "la clase",
    "classes.patient_rule": (
        "Un paciente tiene las clases de todas las fotografías que se pudieron evaluar; si uno de sus ojos no se pudo "
        "evaluar, cuenta como no evaluado."
    ),
    "classes.scale": "Las clases",
    "classes.scale.text": "Las probabilidades de las clases suman 1, también si la imagen no muestra ninguna de ellas.",
    "classes.not_looked_for": "No se buscó nada más que las clases nombradas.",
    "classes.classified": "clasificada",
    "classes.classified.meaning": "Se da la clase más probable de cada fotografía.",
    "classes.cannot assess": "no evaluable",
    "classes.cannot assess.meaning": "No es lo bastante buena para clasificarla. Este no es un resultado sano.",
    "classes.heading": "{column}: {name}",
    "classes.heading.none": "Sin evaluar",
    "classes.brief.none": "sin evaluar",
    "classes.caution": "La fotografía no es lo bastante buena para evaluarla. No tiene clase.",
    "reason.at_least": "{name} {value}, se necesita al menos {least}",
    "recapture": "Fotografiar de nuevo:",
    "recapture.align": "alinee la cámara con la pupila hasta que la retina llene la imagen.",
    "recapture.one_retina": "guarde una sola fotografía de un solo ojo en cada archivo.",
    "recapture.colour": "tome una fotografía en color, no una aneritra ni una angiografía.",
    "recapture.original": "exporte el original, con sus proporciones y sobre fondo negro.",
    "recapture.larger": "expórtela con la resolución completa de la cámara.",
    "recapture.centre": "mueva la cámara hasta que el campo redondo entero esté en la imagen y la mácula en el centro.",
    "recapture.lid": "sujete el párpado y pida al paciente que abra bien el ojo.",
    "recapture.more_light": "suba el flash, u oscurezca la sala y espere a que la pupila se dilate.",
    "recapture.less_light": "baje el flash.",
    "recapture.focus": "enfoque los vasos junto al disco y pida al paciente que parpadee y no se mueva.",
    "recapture.lens": (
        "limpie la lente. Si la siguiente sale igual de turbia, pueden estarlo los medios del ojo: que alguien examine "
        "el ojo."
    ),
    "quality.cut_off": "cortada",
    "reason:no retina to be seen in the scan": "no se ve ninguna retina en el corte",
    "reason:the retina is cut off at the edge of the scan": "la retina está cortada en el borde del corte",
    "reason:the signal of the scan is weak": "la señal del corte es débil",
    "reason:not an OCT scan: expected a grey picture without a round field, got another. Export the scan alone.": (
        "no es un corte de OCT: se esperaba una imagen gris sin campo redondo. Exporte solo el corte."
    ),
    "recapture.scan": "exporte solo el corte de OCT, en gris, sin el informe que lo rodea.",
    "recapture.scan_position": "mueva el corte hasta que la retina entera quede dentro de su altura.",
    "recapture.scan_signal": "centre la pupila, pida al paciente que parpadee, limpie la lente y repita el corte.",
    "recapture.again": "exporte el archivo de nuevo o repita la fotografía.",
    "reason:too little of the retina in the picture": "muy poca retina en la imagen",
    "reason:part of the retina is missing": "falta parte de la retina",
    "reason:too dark": "demasiado oscura",
    "reason:rather dark": "algo oscura",
    "reason:washed out": "sobreexpuesta",
    "reason:rather pale": "algo pálida",
    "reason:out of focus": "desenfocada",
    "reason:rather soft": "algo borrosa",
    "reason:too little contrast": "muy poco contraste",
    "reason:little contrast": "poco contraste",
    "reason:no vessels to be seen": "no se ven vasos",
    "reason:vessels are hard to see": "los vasos se ven mal",
    "reason:Graded without the other eye": "Graduada sin el otro ojo",
    "reason:no photograph of it is known": "no se conoce ninguna fotografía suya",
    "reason:could not be read": "no se pudo leer",
    "reason:is not gradable": "no es graduable",
    "reason:no retina found: not a fundus photograph": "no se encontró retina: no es una fotografía de fondo de ojo",
}
