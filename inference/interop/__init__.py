"""An AI result in the words of other systems: FHIR R4 and DICOM SR. Pure: the same facts give the same bytes."""
