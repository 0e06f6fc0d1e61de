"""DICOM's Basic Application Level Confidentiality Profile (PS3.15 E) on one dataset.

The profile lists what must go; new attributes are missing from such a list until somebody adds them. Here a value stays
only if there is a reason: its type cannot hold a name (numbers, codes), or its attribute is on a short list of what
machines fill in. That removes all that the profile's table names, and more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import UID

import recon

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.tag import BaseTag

__all__ = ["Pseudonyms", "confidential", "mark_removed"]

_NUMBERS = {"FL", "FD", "SS", "US", "SL", "UL", "SV", "UV", "AT"}
_DECIMALS = {"DS", "IS"}
_BULK = {"OB", "OW", "OF", "OD", "OL", "OV"}

_MACHINE_TEXT = {
    "AttenuationCorrectionMethod", "CodeMeaning", "CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion",
    "ConvolutionKernel", "FilterType", "ImagedNucleus", "Manufacturer", "ManufacturerModelName", "PulseSequenceName",
    "Radiopharmaceutical", "ReceiveCoilName", "ReconstructionMethod", "RescaleType", "SequenceName",
    "SoftwareVersions", "TransmitCoilName",
}  # fmt: skip
"""Text that the machine fills in, and that the profile keeps."""

_PIXELS = {
    "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "LUTData", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
}  # fmt: skip

_EMPTIED = {
    "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "AcquisitionDate", "AcquisitionTime", "AcquisitionContextSequence", "ContrastBolusAgent",
    "PositionReferenceIndicator",
}  # fmt: skip
"""What image classes want to be there, if empty (type 2)."""

_DUMMIES = {
    "AcquisitionDateTime", "ContentDate", "ContentTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime",
    "RadiopharmaceuticalStartTime", "SeriesDate", "SeriesTime", "StackID", "DetectorID",
}  # fmt: skip
"""What image classes want to be there with a value (type 1)."""

_DUMMY = {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "SH": "1", "LO": "1"}

_REMOVED_GROUPS = {0x0000, 0x0002, 0x0010, 0x0012, 0x0032, 0x0038, 0x0088, 0x0400, 0x2110, 0x4008, 0xFFFA, 0xFFFC}
"""Messages, file meta information, patient, clinical trial, request, visit, icons, signatures and audit, print,
interpretation, padding."""

_REMOVED = {
    "ActualHumanPerformersSequence", "AdmittingDiagnosesCodeSequence", "AffectedSOPInstanceUID",
    "AuthorObserverSequence", "ConsultingPhysicianIdentificationSequence", "ContentCreatorIdentificationCodeSequence",
    "ContentSequence", "CustodialOrganizationSequence", "FlowIdentifierSequence", "GraphicAnnotationSequence",
    "InstanceOriginStatus", "InstitutionCodeSequence", "InstitutionalDepartmentTypeCodeSequence",
    "IntendedRecipientsOfResultsIdentificationSequence", "IssuerOfAdmissionIDSequence",
    "IssuerOfServiceEpisodeIDSequence", "IssuerOfTheContainerIdentifierSequence",
    "IssuerOfTheSpecimenIdentifierSequence", "LensSpecification", "ModifyingDeviceID", "OperatorIdentificationSequence",
    "ParticipantSequence", "PerformedStationGeographicLocationCodeSequence", "PerformedStationNameCodeSequence",
    "PerformingPhysicianIdentificationSequence", "PersonIdentificationCodeSequence",
    "PhysiciansOfRecordIdentificationSequence", "PhysiciansReadingStudyIdentificationSequence",
    "PrescriptionNotesSequence", "ROICreatorSequence", "ROIInterpreterSequence",
    "ReasonForRequestedProcedureCodeSequence", "ReasonForTheAttributeModification", "ReasonForVisitCodeSequence",
    "ReferencedPatientAliasSequence",
    "ReferencedPatientPhotoSequence", "ReferencedPatientSequence", "ReferencedPerformedProcedureStepSequence",
    "ReferencedStudySequence", "ReferringPhysicianIdentificationSequence", "RequestAttributesSequence",
    "ScheduledHumanPerformersSequence", "ScheduledPerformingPhysicianIdentificationSequence",
    "ScheduledStationGeographicLocationCodeSequence", "ScheduledStationNameCodeSequence",
    "SpecimenPreparationSequence", "TransducerIdentificationSequence", "UDISequence",
    "VerbalSourceIdentifierCodeSequenceTrial", "VerifyingObserverIdentificationCodeSequence",
    "VerifyingObserverSequence", "WaveformAnnotationSequence",
}  # fmt: skip
"""Codes and sequences that the profile's table (PS3.15 E.1-1) removes; what is text or a date goes by its type."""

_CODING_SCHEMES = {
    "ACR", "BARI", "BI", "DCM", "FMA", "ICDO3", "LN", "MA", "NCIt", "NDC", "NEU", "RADLEX", "RXNORM", "SCT", "SNM3",
    "SRT", "UCUM", "UMLS", "UNII",
}  # fmt: skip
"""Schemes whose meanings are published; a hospital's own may say anything."""

_CODE = re.compile(r"[A-Z0-9 _]{0,16}")


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """New identifiers for old ones: the same for the same key, and without it not to be traced back.

    Parameters
    ----------
    key
        Secret; at least 16 bytes of chance (`secrets.token_bytes`). Who has it can test guesses of an old identifier.
    """

    key: bytes

    def uid(self, old: str) -> UID:
        """Return the identifier 2.25.N, N a UUID of the keyed SHA-256 of `old`; nothing for nothing."""
        return UID(f"2.25.{uuid.UUID(bytes=self._digest('uid', old)[:16], version=5).int}" if old.strip() else "")

    def name(self, *old: str) -> str:
        """Return a name and number of a patient: ANON- and 12 digits of the keyed SHA-256 of what was told."""
        return f"ANON-{self._digest('patient', *old).hex()[:12].upper()}"

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(part.strip("\0 ") for part in parts)
        return hmac.new(self.key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def confidential(dataset: Dataset, pseudonyms: Pseudonyms) -> None:
    """Apply the profile to a whole dataset in place, without its pixels, and say so in it.

    The patient's name and number become one pseudonym. File meta information is not touched: write it anew.
    """
    patient = [str(dataset.get(name) or "") for name in ("IssuerOfPatientID", "PatientID")]
    if not patient[1]:
        patient.append(str(dataset.get("StudyInstanceUID") or ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values
        _clean(dataset, pseudonyms)
    dataset.PatientName = dataset.PatientID = pseudonyms.name(*patient)
    dataset.PatientBirthDate = dataset.PatientSex = ""
    mark_removed(dataset)


def mark_removed(dataset: Dataset) -> None:
    """Set what PS3.15 E asks for in a dataset from which a patient's identity was removed."""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = f"recon {recon.__version__}: DICOM PS3.15 basic profile"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.DeidentificationMethodCodeSequence = [code]
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _clean(dataset: Dataset, pseudonyms: Pseudonyms) -> None:
    for tag in list(dataset.keys()):
        try:
            new = _cleaned(dataset, tag, pseudonyms)
        except Exception:  # noqa: BLE001 - a value that pydicom cannot make sense of could be anything
            new = _GONE
        if new is _GONE:
            del dataset[tag]
        elif new is not _KEPT:
            dataset[tag].value = new


_GONE, _KEPT = object(), object()


def _cleaned(dataset: Dataset, tag: BaseTag, pseudonyms: Pseudonyms) -> Any:
    """Return the new value of an element, `_GONE` or `_KEPT`."""
    keyword = keyword_for_tag(tag)
    repeating = tag.group & 0xFF00 in (0x5000, 0x6000)  # curves and overlays
    if tag.is_private or repeating or tag.element == 0 or tag.group in _REMOVED_GROUPS or not keyword:
        return _GONE
    if keyword in _REMOVED or keyword.startswith("GPS"):
        return _GONE
    element = dataset[tag]
    if not set(element.VR.split(" or ")) <= set(dictionary_VR(tag).split(" or ")):
        return _GONE  # text where a number belongs
    if keyword in _EMPTIED:
        return [] if element.VR == "SQ" else ""
    if keyword in _DUMMIES:
        return _KEPT if keyword == "StackID" and str(element.value).isdecimal() else _DUMMY[element.VR]
    return _by_type(element, keyword, pseudonyms)


def _by_type(element: DataElement, keyword: str, pseudonyms: Pseudonyms) -> Any:
    values = element.value if isinstance(element.value, (list, pydicom.multival.MultiValue)) else [element.value]
    match element.VR.split(" or ")[-1]:
        case "SQ":
            for item in list(element.value):
                if _is_local_code(item):
                    element.value.remove(item)
                else:
                    _clean(item, pseudonyms)
            return _KEPT
        case "UI":
            if keyword.endswith("SOPClassUID"):
                return _KEPT
            # The standard's own (classes, syntaxes, coding schemes) have a name; all others may tell who and where.
            new = [uid if UID(uid).name != uid else pseudonyms.uid(uid) for uid in map(str, values) if uid]
            return new if len(new) > 1 else "".join(new)
        case "CS":
            return _KEPT if all(_CODE.fullmatch(str(value or "")) for value in values) else _GONE
        case kind if kind in _DECIMALS:
            for value in values:
                float(value or 0)
            return _KEPT
        case kind if kind in _NUMBERS:
            return _KEPT
        case kind if kind in _BULK:
            return _KEPT if keyword in _PIXELS else _GONE
    return _KEPT if keyword in _MACHINE_TEXT else _GONE


def _is_local_code(item: Dataset) -> bool:
    """Whether an item of a code sequence is of a scheme that anyone may fill as they like."""
    if "CodeMeaning" not in item and "CodeValue" not in item:
        return False
    return str(item.get("CodingSchemeDesignator", "")) not in _CODING_SCHEMES
