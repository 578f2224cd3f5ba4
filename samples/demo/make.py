#!/usr/bin/env python3
"""Writes the sample federation: communities, people, documents and the affinity domain code file.

    python3 samples/demo/make.py            write everything
    python3 samples/demo/make.py --check    judge what lies there

Standard library only, and the same bytes on every run: no clock, no random numbers, no floating
point in the images. Every person here is invented; NHS numbers are from the 999 test range.

The file reads top to bottom: tables (code system, codes, communities, organisations, people), the
documents with their text, the writers (PDF, CDA, FHIR, HL7 v2, text, DICOM, JPEG, TIFF), the code
file, the check.
"""

import base64
import hashlib
import json
import re
import sys
import textwrap
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parent
FILES_RS = SAMPLES.parent / "src" / "demo" / "files.rs"

# ---------------------------------------------------------------------------------------------
# Code systems: (OID, FHIR system)

SNOMED = ("2.16.840.1.113883.6.96", "http://snomed.info/sct")
LOINC = ("2.16.840.1.113883.6.1", "http://loinc.org")
CONFIDENTIALITY = ("2.16.840.1.113883.5.25", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality")
IHE_FORMAT = ("1.3.6.1.4.1.19376.1.2.3", "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode")
DICOM = ("1.2.840.10008.2.6.1", "http://dicom.nema.org/resources/ontology/DCM")
LOCAL_FORMAT = ("2.999.826.6.1", "urn:oid:2.999.826.6.1")
LOCAL_FOLDER = ("2.999.826.6.2", "urn:oid:2.999.826.6.2")
LOCAL_ASSOCIATION = ("2.999.826.6.3", "urn:oid:2.999.826.6.3")

NHS_NUMBER = "2.16.840.1.113883.2.1.4.1"
ODS = "2.16.840.1.113883.2.1.4.3"
SDS_USER = "1.2.826.0.1285.0.2.0.65"
SDS_JOB_ROLE = "1.2.826.0.1285.0.2.1.104"

# ---------------------------------------------------------------------------------------------
# Value sets, "code|display" one a line

def table(text):
    return dict(line.strip().split("|", 1) for line in text.strip().splitlines())

CLASS_CODES = table("""
373942005|Discharge summary
823751000000102|Letter
25611000000107|Referral letter
734163000|Care plan
371525003|Clinical procedure report
25831000000103|Image (document)
325931000000109|Assessment
933361000000108|Medications and medical devices
717341000000101|Alerts
717131000000107|Health characteristics
706825008|Chart
38651000000103|Other note
715311000000107|Notification administration
419891008|Record artefact
721981007|Diagnostic studies report
823651000000106|Clinical note
1102421000000108|Observations
716931000000107|Record headings
""")

# Document keys: class, type, its term, LOINC translation (or -), practice setting, facility, confidentiality
DOCUMENT_KEYS = {}
for _line in """
DSUM|373942005|373942005|Discharge summary|34105-7|1323691000000101|22232009|N
DLET|823751000000102|824331000000106|Inpatient final discharge letter|18842-5|1323691000000101|22232009|N
DNOT|715311000000107|895551000000104|Discharge notification|-|1323691000000101|22232009|N
ANOT|715311000000107|895571000000108|Admission notification|-|931781000000102|22232009|N
TOC|823751000000102|823731000000109|Transfer of care letter|18761-7|1323691000000101|22232009|N
EDR|373942005|773093006|Emergency department encounter report|59258-4|310000008|225728007|N
UCR|823651000000106|312341000000104|Urgent Care Summary Report|34111-5|829961000000104|81234003|N
N111|823651000000106|819551000000100|NHS 111 Report|34748-4|907301000000109|257622000|N
OOH|823651000000106|25781000000108|Out of hours report|-|829961000000104|264358009|N
AMB|823651000000106|312711000000101|Ambulance Service Patient Summary Report|67796-3|792847005|11424001|N
APRF|823651000000106|824861000000106|Ambulance service patient report form|67796-3|792847005|11424001|N
OPL|823751000000102|823681000000100|Outpatient letter|34108-1|1323691000000101|33022008|N
CLET|823751000000102|823691000000103|Clinical letter|51852-2|1323691000000101|22232009|N
REF|25611000000107|25611000000107|Referral letter|57133-1|788007007|264358009|N
APPT|419891008|749001000000101|Appointment|56446-8|1323691000000101|33022008|N
COR|823751000000102|163181000000107|Patient/Carer Correspondence|52033-8|788007007|264358009|N
LAB|721981007|4241000179101|Laboratory report|11502-2|310074003|22232009|N
PATH|721981007|371528001|Pathology report|11526-1|310074003|22232009|N
BIOC|721981007|4311000179106|Biochemistry report|11502-2|310076001|22232009|N
HAEM|721981007|4321000179101|Haematology report|11502-2|708196005|22232009|N
MICR|721981007|4341000179107|Microbiology report|11502-2|310078000|22232009|N
VIRO|721981007|1054281000000104|Virology report|11502-2|708185002|22232009|N
CELL|721981007|1054291000000102|Cellular pathology report|11529-5|788124003|22232009|N
GENE|721981007|1054161000000101|Genetic report|51969-4|788006003|22232009|R
IMG|721981007|4201000179104|Imaging report|18748-4|310125001|22232009|N
KOS|25831000000103|25831000000103|Image (document)|18748-4|310125001|22232009|N
ECG|371525003|827711000000108|Electrocardiograph|11524-6|828301000000108|22232009|N
AECG|371525003|914851000000108|Ambulatory ECG (electrocardiography) monitoring report|18754-2|828301000000108|22232009|N
ECHO|371525003|399345000|Adult echocardiography procedure report|-|708172000|22232009|N
ENDO|371525003|820511000000100|Endoscopy record|18751-8|310030000|22232009|N
OPN|371525003|823661000000109|Operation note|11504-8|310156009|22232009|N
MED|933361000000108|1102411000000102|Active medications|56445-0|788007007|264358009|N
MEDR|933361000000108|1099461000000101|Medication review|70006-2|310080006|264372000|N
RX|933361000000108|440545006|Prescription record|57833-6|788007007|264358009|N
ALG|717341000000101|722446000|Allergy record|48765-2|788007007|264358009|N
IMM|717131000000107|41000179103|Immunisation record|11369-6|788007007|264358009|N
GPS|823651000000106|196981000000101|General Practice Summary|60591-5|788007007|264358009|N
IPS|823651000000106|824321000000109|Summary record|60591-5|788007007|264358009|N
CSUM|716931000000107|887181000000106|Clinical summary|60591-5|413294000|257622000|N
LG|419891008|16521000000101|Lloyd George record folder|11503-0|788007007|264358009|N
CP|734163000|734163000|Care plan|56447-6|413294000|6827000|N
PCSP|734163000|2181441000000107|Personalised Care and Support Plan|56447-6|413294000|6827000|N
EOLC|734163000|861421000000109|End of Life Care Coordination Summary|42348-3|310073009|6827000|N
EOL|734163000|736373009|End of life care plan|42348-3|310073009|284546000|N
ACP|734163000|736366004|Advance care plan|42348-3|310073009|6827000|N
RESP|734163000|1382601000000107|ReSPECT (Recommended Summary Plan for Emergency Care and Treatment) form|42348-3|310073009|22232009|N
TEP|734163000|735324008|Treatment escalation plan|42348-3|1323691000000101|22232009|N
EHCP|734163000|887701000000100|Emergency health care plan|56447-6|310066004|22232009|N
CONT|734163000|325691000000100|Contingency plan|56447-6|413294000|6827000|N
MHCP|734163000|736253002|Mental health crisis plan|56447-6|92151000000102|62480006|R
MHPL|734163000|718347000|Mental health care plan|56447-6|788002001|62480006|R
CPA|734163000|1092351000000103|Care Programme Approach care plan|56447-6|89301000000108|62480006|R
RISK|325931000000109|886831000000103|Clinical risk assessment|-|788002001|62480006|R
MHA|715311000000107|826631000000107|Mental Health Act notice|-|708168004|62480006|R
SCA|325931000000109|820101000000109|Social services assessment record|11519-6|310134006|257622000|R
SCP|734163000|326321000000103|Social care plan|56447-6|310134006|257622000|N
SSL|823751000000102|823721000000107|Social Services letter|28653-4|310134006|257622000|R
HDSC|715311000000107|715591000000108|Hospital Discharge Notification to Social Care|-|892601000000108|22232009|N
SAFA|717341000000101|909031000000105|Adult safeguarding report|-|1362761000000103|257622000|V
SAFC|717341000000101|909041000000101|Child safeguarding report|-|1326421000000106|257622000|V
MAT|419891008|1111201000000106|Maternity record|57055-6|310063007|22232009|N
ANC|734163000|959861000000100|Antenatal care plan|56447-6|714088003|22232009|N
PNC|734163000|961781000000105|Postnatal care plan|56447-6|714088003|6827000|N
HVR|823651000000106|25641000000108|Health visitor report|-|1078501000000104|6827000|N
CNR|823651000000106|24571000000102|Community nursing report|-|931801000000101|310205006|N
CCP|734163000|857891000000106|Community care plan|56447-6|413294000|6827000|N
NEWS|1102421000000108|1363501000000100|Royal College of Physicians NEWS2 (National Early Warning Score 2) chart|-|931781000000102|22232009|N
OBS|706825008|823621000000101|Observation chart|-|931781000000102|22232009|N
PHOTO|25831000000103|820241000000102|Medical photograph|-|310066004|22232009|R
CANC|823651000000106|762391000000107|Cancer multidisciplinary team report|-|892571000000101|22232009|N
EOTS|734163000|1324891000000103|Cancer EOTS (End of Treatment Summary) Plan|74156-1|310022001|22232009|N
CONS|419891008|887031000000108|Consent for information sharing|57016-8|788007007|264358009|R
DEATH|715311000000107|1402901000000106|Death notification document|64297-5|1323691000000101|22232009|N
""".strip().splitlines():
    _key, *_rest = _line.split("|")
    DOCUMENT_KEYS[_key] = _rest

PRACTICE_SETTINGS = table("""
310000008|Accident and Emergency service
931781000000102|Acute medicine service
788002001|Adult mental health service
1362761000000103|Adult safeguarding team
310001007|Anaesthetic service
310142007|Cardiac surgery service
708172000|Cardiac ultrasound service
789718008|Cardiology service
310117003|Child and adolescent psychiatry service
310076001|Clinical biochemistry service
788004000|Clinical genetics service
310022001|Clinical oncology service
708184003|Clinical pathology service
829981000000108|Community child health service
413294000|Community health services
89301000000108|Community mental health team
931801000000101|Community nursing service
310131003|Community rehabilitation service
395086005|Community specialist palliative care
788128000|Critical care medicine service
700241009|Dermatology service
963151000000104|Diabetic medicine service
708175003|Diagnostic imaging service
700221004|Elderly medicine service
828301000000108|Electrocardiography service
792847005|Emergency ambulance service
409971007|Emergency medicine service
700434000|Endocrinology service
310030000|Endoscopy service
700433006|Gastroenterology service
1323691000000101|General internal medical service
788007007|General practice service
310156009|General surgical service
788006003|Genetic laboratory service
830039004|Genitourinary medicine service
310061009|Gynaecology service
708196005|Haematology service
1078501000000104|Health visiting service
788124003|Histopathology service
310032008|Intensive care service
892601000000108|Intermediate care service
310119000|Liaison psychiatry service
310078000|Medical microbiology service
892571000000101|Medical oncology service
92151000000102|Mental health crisis resolution team
893251000000101|Mental health recovery and rehabilitation service
708168004|Mental health service
714088003|Midwifery service
741073001|Neonatal intensive care service
788003006|Nephrology service
788005004|Neurology service
310159002|Neurosurgical service
907301000000109|NHS 111 service
788009005|Nuclear medicine service
310063007|Obstetrics service
310093001|Occupational therapy service
310160007|Ophthalmology service
829961000000104|Out of hours service
310068003|Paediatric neurology service
310066004|Paediatric service
310073009|Palliative care service
310074003|Pathology service
310080006|Pharmacy service
722140001|Physiotherapy service
310125001|Radiology service
816074000|Respiratory medicine service
3621000175101|Rheumatology service
1326421000000106|Safeguarding children team
788122004|Sexual health service
310134006|Social services
310137004|Stroke service
893431000000109|Trauma and orthopaedics service
310166001|Trauma surgery service
708185002|Virology service
""")

FACILITIES = table("""
22232009|Hospital
225732001|Community hospital
62480006|Psychiatric hospital
82242000|Children's hospital
225728007|Accident and Emergency department
73770003|Hospital-based emergency department
33022008|Hospital-based outpatient department
264358009|General practice premises
81234003|Walk-in clinic
11424001|Ambulance-based care
901005|Helicopter-based care
6827000|Local community health center
284546000|Hospice facility
42665001|Nursing home
419955002|Residential institution
264372000|Pharmacy
310205006|Private residential home
224687002|Prison hospital
394777002|Health encounter site, not listed
257622000|Healthcare facility
""")

CONFIDENTIALITY_CODES = {"N": "normal", "R": "restricted", "V": "very restricted"}

# Type terms a partner may send in place of ours, and the fallback for a source with no mapping.
TYPE_ALIASES = table("""
24561000000109|A&E report
1110591000000106|Emergency care attendance
371527006|Radiology report
717321000000108|Diagnostic imaging report
886921000000105|Allergies and adverse reactions
163751000000100|Care Programme Approach summary
826501000000100|Miscellaneous record
""")

FORMATS = table("""
urn:ihe:iti:xds:2017:mimeTypeSufficient|mimeType Sufficient
urn:ihe:iti:xds-sd:pdf:2008|PDF wrapped in CDA (XDS-SD)
urn:ihe:iti:xds-sd:text:2008|Text wrapped in CDA (XDS-SD)
urn:ihe:pcc:xds-ms:2007|CDA medical summary (XDS-MS)
urn:ihe:pcc:xphr:2007|CDA extract of a personal or GP record (XPHR)
urn:ihe:pcc:edr:2007|CDA emergency department referral (EDR)
urn:ihe:pcc:edpn:2007|CDA emergency department physician note (EDPN)
urn:ihe:pcc:nn:2007|CDA emergency department nursing note
urn:ihe:pcc:tn:2007|CDA triage note
urn:ihe:pcc:ic:2009|CDA immunisation content (IC)
urn:ihe:pcc:aps:2007|CDA antepartum summary (APS)
urn:ihe:pcc:lds:2009|CDA labour and delivery summary (LDS)
urn:ihe:pcc:nds:2010|CDA newborn discharge summary (NDS)
urn:ihe:lab:xd-lab:2008|CDA laboratory report (XD-LAB)
urn:ihe:rad:PDF|Radiology report, PDF
urn:ihe:rad:TEXT|Radiology report, text
urn:ihe:rad:CDA:ImagingReportStructuredHeadings:2013|Radiology report, CDA with structured headings
urn:ihe:iti:bppc:2007|Basic patient privacy consents
urn:ihe:iti:appc:2016:consent|Advanced patient privacy consents
""")
SUFFICIENT = "urn:ihe:iti:xds:2017:mimeTypeSufficient"
KOS_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.88.59"

# What the submission was made for: SNOMED CT procedures, since the profile fixes no list.
CONTENT_TYPES = table("""
32485007|Hospital admission
58000006|Patient discharge
107724000|Patient transfer
3457005|Patient referral
11429006|Consultation
4525004|Emergency department patient visit
185317003|Telephone encounter
439708006|Home visit
108252007|Laboratory procedure
363679005|Imaging
387713003|Surgical procedure
308335008|Patient encounter procedure
""")
CONTENT_TYPE_OF = {
    "DSUM": "58000006", "DLET": "58000006", "DNOT": "58000006", "HDSC": "58000006", "ANOT": "32485007",
    "TOC": "107724000", "REF": "3457005", "OPL": "11429006", "EDR": "4525004", "N111": "185317003",
    "LAB": "108252007", "BIOC": "108252007", "HAEM": "108252007", "VIRO": "108252007", "CELL": "108252007",
    "GENE": "108252007", "IMG": "363679005", "KOS": "363679005", "ECHO": "363679005", "OPN": "387713003",
    "CNR": "439708006", "HVR": "439708006",
}

MODALITIES = table("""
CT|Computed Tomography
MR|Magnetic Resonance
US|Ultrasound
CR|Computed Radiography
DX|Digital Radiography
NM|Nuclear Medicine
PT|Positron emission tomography
XA|X-Ray Angiography
MG|Mammography
ES|Endoscopy
ECG|Electrocardiography
""")
LOINC_PANELS = {"24362-6": "Renal function 2000 panel - Serum or Plasma", "58410-2": "CBC panel - Blood by Automated count"}
SNOMED_EVENTS = {"33879002": "Administration of vaccine to produce active immunity"}

FOLDER_CODES = table("""
referral-pathway|Referral pathway
cancer-pathway|Cancer pathway
maternity-pathway|Maternity pathway
trauma-pathway|Trauma pathway
end-of-life-pathway|End of life pathway
long-term-condition|Long-term condition
mental-health-episode|Mental health episode
inpatient-episode|Inpatient episode
imaging-study|Imaging study
""")
ASSOCIATION_CODES = table("""
addendum|Adds to the earlier document
correction|Corrects the earlier document
translation|Translates the earlier document
""")

# MIME type and file extension, one pair for each type the profile lets through.
MIME_TYPES = {
    "application/pdf": "pdf", "text/xml": "xml", "application/xml": "xml", "text/plain": "txt",
    "text/html": "html", "text/rtf": "rtf", "application/fhir+xml": "xml", "application/fhir+json": "json",
    "application/dicom": "dcm", "application/x-hl7": "hl7", "image/jpeg": "jpg", "image/png": "png",
    "image/tiff": "tif", "image/bmp": "bmp", "application/msword": "doc", "multipart/related": "mpr",
    "text/richtext": "rtx", "video/mpeg": "mpg", "audio/x-au": "au",
}

# ---------------------------------------------------------------------------------------------
# Communities, snapshot 2026-04: key, number in our OID arcs, name, area, scope, state, kind, members

COMMUNITIES = """
HUB|1|London Care Record|Y56|hub|live|hub|ZZ9601
NEL|11|East London Patient Record|QMF|member|live|full|R1H RQX RF4 RWK RAT ZZ9911
NCL|12|North Central London Health Information Exchange|Z9B2Z|member|live|full|RAL RRV RKE RP4 G6V2S ZZ9812 ZZ9912
NWL|13|North West London Care Information Exchange|Z9B2Z|member|live|full|RYJ RQM RKL ZZ9913
SEL|14|South East London Connect Care|QKK|member|live|full|RJ2 RJ1 RV5 ZZ9814 ZZ9914
SWL|15|South West London Connecting Your Care|QWE|member|live|full|RAX RJ7 RJ6 ZZ9915
HWE|21|Hertfordshire and West Essex Shared Care Record|S1Y5D D7T5G|neighbour|live|full|RWG RWH RQW RY4 ZZ9921
MKU|22|Milton Keynes University Hospital|S1Y5D|neighbour|live|full|RD8
BLMK|23|Bedfordshire, Luton and Milton Keynes Shared Care Record|S1Y5D|neighbour|live|full|RC9 ZZ9923
SNEE|24|Suffolk and North East Essex Shared Care Record|T6Y0W D7T5G|neighbour|live|full|RDE RGR ZZ9924
OXF|25|Oxford University Hospitals|S0E4D|neighbour|live|full|RTH ZZ9925
LAS|41|London Ambulance Service|QKK|neighbour|live|full|RRU
N111|42|NHS 111 London|Y56|neighbour|live|full|ZZ9742
GM|31|Greater Manchester Care Record|QOP|neighbour|planned|full|R0A ZZ9931
WES|32|Wessex Care Record|QRL QVV|neighbour|planned|full|RHM ZZ9932
"""

# ODS code, name, community, number in the arcs, telephone (Ofcom drama numbers), sites
ORGANISATIONS = """
ZZ9601|Pan-London Care Plan Service (sample)|HUB|2|020 7946 0001|
R1H|Barts Health NHS Trust|NEL|1|020 7946 0002|R1H12 The Royal London Hospital; R1HNH Newham University Hospital; R1HKH Whipps Cross University Hospital; R1HM0 St Bartholomew's Hospital
RQX|Homerton Healthcare NHS Foundation Trust|NEL|2|020 7946 0003|RQXM1 Homerton University Hospital
RF4|Barking, Havering and Redbridge University Hospitals NHS Trust|NEL|3|020 7946 0004|RF4QH Queen's Hospital
RWK|East London NHS Foundation Trust|NEL|4|020 7946 0005|
RAT|North East London NHS Foundation Trust|NEL|5|020 7946 0006|
ZZ9911|Bow Example Practice|NEL|90|020 7946 0007|
RAL|Royal Free London NHS Foundation Trust|NCL|1|020 7946 0008|RAL01 Royal Free Hospital; RAL26 Barnet Hospital
RRV|University College London Hospitals NHS Foundation Trust|NCL|2|020 7946 0009|RRV03 University College Hospital
RKE|Whittington Health NHS Trust|NCL|4|020 7946 0010|RKEQ4 Whittington Hospital
RP4|Great Ormond Street Hospital for Children NHS Foundation Trust|NCL|5|020 7946 0011|RP401 Great Ormond Street Hospital
G6V2S|North London NHS Foundation Trust|NCL|6|020 7946 0012|
ZZ9812|Islington Example Council|NCL|80|020 7946 0013|
ZZ9912|Canonbury Example Practice|NCL|90|020 7946 0014|
RYJ|Imperial College Healthcare NHS Trust|NWL|1|020 7946 0015|RYJ01 St Mary's Hospital; RYJ03 Hammersmith Hospital
RQM|Chelsea and Westminster Hospital NHS Foundation Trust|NWL|2|020 7946 0016|RQM01 Chelsea and Westminster Hospital; RQM91 West Middlesex University Hospital
RKL|West London NHS Trust|NWL|3|020 7946 0017|
ZZ9913|Brook Green Example Practice|NWL|90|020 7946 0018|
RJ2|Lewisham and Greenwich NHS Trust|SEL|1|020 7946 0019|RJ224 University Hospital Lewisham; RJ231 Queen Elizabeth Hospital
RJ1|Guy's and St Thomas' NHS Foundation Trust|SEL|2|020 7946 0020|RJ122 St Thomas' Hospital
RV5|South London and Maudsley NHS Foundation Trust|SEL|3|020 7946 0021|
ZZ9814|Lewisham Example Council|SEL|80|020 7946 0022|
ZZ9914|Clapham Example Practice|SEL|90|020 7946 0023|
RAX|Kingston and Richmond NHS Foundation Trust|SWL|1|020 7946 0024|RAX01 Kingston Hospital
RJ7|St George's University Hospitals NHS Foundation Trust|SWL|2|020 7946 0025|RJ701 St George's Hospital
RJ6|Croydon Health Services NHS Trust|SWL|3|020 7946 0026|RJ611 Croydon University Hospital; RJ6CC Croydon Community Services
ZZ9915|Addiscombe Example Practice|SWL|90|020 7946 0027|
RWG|West Hertfordshire Teaching Hospitals NHS Trust|HWE|1|01632 960001|RWG02 Watford General Hospital
RWH|East and North Hertfordshire Teaching NHS Trust|HWE|2|01632 960002|RWH01 Lister Hospital
RQW|The Princess Alexandra Hospital NHS Trust|HWE|3|01632 960003|RQWG0 Princess Alexandra Hospital
RY4|Hertfordshire Community NHS Trust|HWE|4|01632 960004|
ZZ9921|Cassio Example Practice|HWE|90|01632 960005|
RD8|Milton Keynes University Hospital NHS Foundation Trust|MKU|1|01632 960006|RD816 Milton Keynes Hospital
RC9|Bedfordshire Hospitals NHS Foundation Trust|BLMK|1|01632 960007|RC971 Luton and Dunstable University Hospital; RC979 Bedford Hospital
ZZ9923|Leagrave Example Practice|BLMK|90|01632 960008|
RDE|East Suffolk and North Essex NHS Foundation Trust|SNEE|1|01632 960009|RDEE4 Colchester Hospital; RDE03 Ipswich Hospital
RGR|West Suffolk NHS Foundation Trust|SNEE|2|01632 960010|RGR50 West Suffolk Hospital
ZZ9924|Orwell Example Practice|SNEE|90|01632 960011|
RTH|Oxford University Hospitals NHS Foundation Trust|OXF|1|01632 960012|RTH08 John Radcliffe Hospital
ZZ9925|Cowley Example Practice|OXF|90|01632 960013|
R0A|Manchester University NHS Foundation Trust|GM|1|01632 960014|
ZZ9931|Ardwick Example Practice|GM|90|01632 960015|
RHM|University Hospital Southampton NHS Foundation Trust|WES|1|01632 960016|RHM01 Southampton General Hospital
ZZ9932|Bassett Example Practice|WES|90|01632 960017|
RRU|London Ambulance Service NHS Trust|LAS|1|020 7946 0028|
ZZ9742|London 111 Sample Provider|N111|1|020 7946 0029|
"""

# The plan's names for sample bodies that have no real code.
SAMPLE_BODIES = {
    "UCP": "ZZ9601", "IUC": "ZZ9742", "LA-NCL": "ZZ9812", "LA-SEL": "ZZ9814",
    "GP-NEL": "ZZ9911", "GP-NCL": "ZZ9912", "GP-NWL": "ZZ9913", "GP-SEL": "ZZ9914", "GP-SWL": "ZZ9915",
    "GP-HWE": "ZZ9921", "GP-BLMK": "ZZ9923", "GP-SNEE": "ZZ9924", "GP-OXF": "ZZ9925", "GP-GM": "ZZ9931",
    "GP-WES": "ZZ9932",
}

# ---------------------------------------------------------------------------------------------
# People: id, NHS number, prefix, given, family, sex, born, town and outward postcode, home, flags

PEOPLE = """
P01|9990010013|Mrs|Wilhelmina|Quillfeather|F|1951-04-17|Clapham SW4|SEL|
P02|9990010021|Mr|Barnaby|Lanternwood|M|1944-09-30|Croydon CR0|SWL|
P03|9990010048|Ms|Philippa|Marchbanks-Moss|F|1968-12-05|Bow E3|NEL|
P04|9990010056|Mr|Cuthbert|Applegarth|M|1959-02-11|Watford WD17|HWE|
P05|9990010064|Mrs|Nkechi|Fernleaf|F|1990-07-22|Harlow CM20|HWE|
P06|9990010072||Baby|Fernleaf|M|2026-02-20|Harlow CM20|HWE|newborn
P07|9990010080|Mr|Gideon|Brackenridge|M|1988-05-14|Milton Keynes MK9|MKU|
P08|9990010099|Miss|Saoirse|Puddlethwaite|F|2017-03-03|Luton LU4|BLMK|child
P09|9990010102|Mr|Horatio|Saltmarshe|M|1949-11-19|Ipswich IP3|SNEE|
P10|9990010110|Mrs|Dorothea|Windlestraw|F|1962-06-27|Colchester CO4|SNEE|
P11|9990010129|Mr|Ambrose|Fableton|M|1975-08-08|Oxford OX4|OXF|
P12|9990010137|Ms|Temperance|Oddlington|F|1981-01-25|Hackney E9|NEL|
P13|9990010145|Mr|Reginald|Moonpenny|M|1938-10-02|Kingston KT2|SWL|end-of-life
P14|9990010153|Mr|Solomon|Greywether|M|1993-12-12|Camberwell SE5|SEL|
P15|9990010161|Mrs|Agatha|Butterwick|F|1935-03-30|Islington N1|NCL|
P16|9990010188|Master|Felix|Nettlewick|M|2015-09-09|Lewisham SE13|SEL|child
P17|9990010196|Ms|Persephone|Ashcombe-Quill|F|1986-02-14||NCL|restricted
P18|9990010218|Mr|Leopold|Tanglewick|M|1971-06-06|Hammersmith W6|NWL|superseded
P19|9990010226|Mr|Leopold|Tanglewick|M|1971-06-06|Hammersmith W6|NWL|supersedes
P20|9990010234|Miss|Eudora|Candlewright|F|1929-05-21|Tooting SW17|SWL|deceased
P21|9990010242|Mr|Mortimer|Silverthreadle|M|1970-04-04|Woolwich SE18|SEL|objects-to-sharing
P22||Ms|Xanthe|Nowhere-Traveller|F|1999-08-16||NEL|no-nhs-number
P23|9990010250|Mr|Jasper|Hollowell-Pyne|M|2001-05-05|Colchester CO1|SNEE|twin
P24|9990010269|Mr|Casper|Hollowell-Pyne|M|2001-05-05|Colchester CO1|SNEE|twin
P25|9990010277|Mrs|Ottoline|Riversedge|F|1956-12-31|Acton W3|NWL|
P26|9990010285|Mr|Zebedee|Everywhither|M|1980-10-10||NEL|no-fixed-abode
P27|9990010293|Mr|Lysander|Coppergatte|M|1984-07-07|Paddington W2|NWL|
P28|9990010307|Miss|Clementine|Blankpage|F|2004-03-15|Stevenage SG1|HWE|
P29|9990010315|Mr|Seán-Pádraig|Ó Fictícheáll-D'Örnament van Exampleton|M|1972-02-29|Hounslow TW7|NWL|
P30|9990010323|Mrs|Hester|Millbrooke|F|1966-09-01|Manchester M13|GM|
P31|9990010331|Mr|Rufus|Harbourside|M|1953-01-09|Southampton SO16|WES|
P32|9990010358|Ms|Verity|Goldthready|F|1979-11-11|Peckham SE15|SEL|staff-member
"""

# Numbers the organisations gave, as the profile lists them. A practice or council with no number
# there gets one of ours: 7, two digits of the person, three of the community (see local_number).
LOCAL_NUMBERS = """
P01|RJ1 8999948, RQM 9125632
P02|RJ7 2508917, RJ6 2258742
P03|R1H 2767011
P04|RWG 8609011, RRV 3561076
P05|RQW 3659058, R1H 2782849
P06|R1H 2790768, RY4 4191748
P07|RRU 3334658, R1H 2798687, RD8 1838015
P08|RP4 2766578, RC9 1935997
P09|RDE 5106128, RRV 1002345
P10|RDE 5114047, R1H 2822444
P11|RTH 8434283, RYJ 1735193
P12|ZZ9742 6540872, RRU 3374253, RQX 3964666
P13|ZZ9601 7999806, RAX 9410793, RRU 3382172
P14|RV5 4024939, RWK 1688901
P15|RKE 6274426, ZZ9812 3755413
P16|ZZ9814 6545278, RJ2 9368908
P17|RAL 6440369
P18|RYJ 1790626
P19|RYJ 1798545, RJ7 2643540
P20|ZZ9601 8055239, RJ7 2651459
P21|RJ2 9408503
P22|R1H 2917472
P23|RDE 1002345, RRV 3711537
P24|RDE 5224913
P25|RYJ 1846059, RAL 6503721, RJ7 2691054
P26|ZZ9601 4000026, RF4 4000026, RRV 4000026, RYJ 4000026, RJ2 4000026, RAX 4000026, RWH 4000026, RD8 4000026, RC9 4000026, RGR 4000026, RTH 4000026, R0A 4000026, RHM 4000026, RRU 4000026, ZZ9742 4000026
P27|RQM 9331526, RYJ 1861897
P29|RQM 9347364
P30|R0A 9069487, RRV 3766970
P31|RHM 7922194, RJ7 2738568
P32|RJ1 9245437
"""

# ---------------------------------------------------------------------------------------------
# Documents. In the text: "# " heading, "- " list item, "| a | b" table row (the first is its head),
# an empty line parts paragraphs. Times are UTC. The plan's key gives the codes; ps and ft override.

DOCUMENTS = []

def D(person, number, key, org, when, author, role, title, text, *, conf=None, ps=None, ft=None,
      fmt="pdf", form=None, svc=None, signed=False, events=(), extra=None):
    DOCUMENTS.append(dict(person=person, number=number, key=key, org=org, when=when, author=author, role=role,
                          title=title, text=text.strip("\n"), conf=conf, ps=ps, ft=ft, fmt=fmt, form=form,
                          svc=svc, signed=signed, events=events, extra=extra))

CONSULTANT, REGISTRAR, CLINICIAN, GP, NURSE, HEALTH_PROFESSIONAL = "R0050", "R0110", "R8000", "R0260", "R8001", "R8003"
MIDWIFE, PARAMEDIC, PSYCHIATRIST, RADIOLOGIST, SOCIAL_WORKER = "R8016", "R1070", "R1981", "R0014", "R8014"
COMMUNITY_NURSE, SPECIALIST_NURSE, CLERK, PHARMACIST = "R0700", "R0600", "R8010", "R1290"
ROLE_NAMES = {
    "R0050": "Consultant", "R0110": "Specialist Registrar", "R8000": "Clinical Practitioner", "R0260": "General Medical Practitioner",
    "R8001": "Registered Nurse", "R8003": "Health Professional", "R8016": "Midwife", "R1070": "Paramedic", "R1981": "Psychiatrist",
    "R0014": "Radiologist", "R8014": "Social Worker", "R0700": "Community Nurse", "R0600": "Specialist Nurse Practitioner",
    "R8010": "Clerical Officer", "R1290": "Pharmacist",
}

# --- P01: Clapham, taken ill at Chelsea; penicillin anaphylaxis is known only in South East London

D("P01", 4, "OPL", "RJ1:RJ122", "2025-11-03 10:15", "Dr Grace Sampleton", CONSULTANT, "Respiratory clinic letter", """
Dear Dr Thistledown,

# Diagnoses
- COPD, GOLD 3: FEV1 0.98 L (46% predicted), FEV1/FVC 0.44
- Two exacerbations in the last twelve months, none needing admission
- Hypertension; osteopenia
- Ex-smoker since 2014, 42 pack-years

# Allergies
- PENICILLIN: ANAPHYLAXIS (2009, co-amoxiclav, adrenaline given). Avoid all penicillins. Cephalosporins untested.

# Medicines
- Fluticasone furoate/umeclidinium/vilanterol 92/55/22 micrograms, one inhalation once daily
- Salbutamol 100 micrograms, two puffs as needed, by spacer
- Ramipril 5 mg once daily; atorvastatin 20 mg at night
- Colecalciferol 800 units once daily

# Review
I saw Mrs Quillfeather with her daughter. She manages the stairs at home with one stop (MRC grade 3). Weight is steady at 54 kg. Oxygen saturation was 93% on air at rest and fell to 89% on a one-minute sit-to-stand. Chest: quiet breath sounds, no crackles. No ankle swelling. Technique with the dry powder device is good.

# Plan
- Rescue pack changed to doxycycline (200 mg then 100 mg daily, 5 days) and prednisolone 30 mg for 5 days. Please remove the old amoxicillin template from the repeat screen.
- Target saturation if unwell: 88 to 92%. Oxygen alert card given.
- Pulmonary rehabilitation referral made. Influenza vaccine given today.
- Clinic in six months with spirometry.
""", ps="816074000", svc=("20251103", None))

D("P01", 5, "EDR", "RQM:RQM01", "2026-02-14 22:40", "Dr Tobias Wrenfield", REGISTRAR, "Emergency department summary: infective exacerbation of COPD", """
# Presenting complaint
Taken ill while visiting a friend in Chelsea. Three days of worsening breathlessness, green sputum and fever. Brought by ambulance at 18:42, unable to finish sentences.

# Allergies
- PENICILLIN: ANAPHYLAXIS, found in the shared record of South East London at 18:55; she was too breathless to give a history.

# Observations on arrival
| Measure | Value
| Respiratory rate | 32 /min
| SpO2 | 84% on air (target 88 to 92%)
| Pulse | 112 /min
| Blood pressure | 148/86 mmHg
| Temperature | 38.4 C
| NEWS2 (scale 2) | 8

# Investigations
- Venous then arterial gas on 28% Venturi: pH 7.33, pCO2 6.9 kPa, pO2 7.6 kPa, bicarbonate 27 mmol/L, lactate 1.6 mmol/L
- ECG: sinus tachycardia 112, no acute ischaemia
- Chest radiograph: hyperinflated, patchy right lower zone shadowing, no pneumothorax
- CRP 168 mg/L, white cells 17.2, creatinine 98 umol/L

# Treatment
- Controlled oxygen, 28% Venturi; salbutamol 5 mg and ipratropium 500 micrograms by air-driven nebuliser
- Prednisolone 30 mg by mouth; doxycycline 200 mg by mouth. The sepsis bundle's first-line piperacillin/tazobactam was NOT given because of the allergy.
- Gas at one hour: pH 7.36, pCO2 6.4 kPa. Non-invasive ventilation not needed.

# Diagnosis
Infective exacerbation of COPD with right lower lobe pneumonia (CURB-65 score 3) and compensating type 2 respiratory failure.

# Disposal
Admitted under respiratory medicine, Ward 4 Example. Daughter told by telephone. For full escalation including NIV; resuscitation status to be discussed by the admitting consultant.
""", fmt="cda", form="urn:ihe:pcc:edpn:2007", svc=("20260214184200", "20260214224000"), ps="409971007")

D("P01", 6, "ECG", "RQM:RQM01", "2026-02-14 18:58", "Dr Tobias Wrenfield", REGISTRAR, "12-lead electrocardiogram: sinus tachycardia", """
# Recording
12-lead ECG, 25 mm/s, 10 mm/mV, recorded at 18:51 in the emergency department. Patient breathless, sitting.

| Measurement | Value
| Ventricular rate | 112 /min
| PR interval | 148 ms
| QRS duration | 88 ms
| QT / QTc (Bazett) | 322 / 440 ms
| P, QRS, T axis | 78, 84, 62 degrees

# Interpretation
Sinus tachycardia. P pulmonale in II. Vertical axis. Clockwise rotation. No ST elevation or depression. No earlier tracing at this hospital for comparison.
""", events=("ECG",), svc=("20260214185100", None), extra="trace:112")

D("P01", 7, "BIOC", "RQM:RQM01", "2026-02-14 19:48", "Dr Hugo Titherington", CONSULTANT, "Biochemistry: renal profile, CRP", """
| Test | Result | Unit | Range | Flag | LOINC
| Sodium | 133 | mmol/L | 133-146 | | 2951-2
| Potassium | 4.1 | mmol/L | 3.5-5.3 | | 2823-3
| Urea | 9.4 | mmol/L | 2.5-7.8 | H | 22664-7
| Creatinine | 98 | umol/L | 45-84 | H | 14682-9
| C-reactive protein | 168 | mg/L | 0-5 | H | 1988-5
| Glucose, random | 8.1 | mmol/L | | | 14749-6

Creatinine 84 umol/L in October 2025 (shared record). Please repeat within 24 hours.
""", fmt="hl7", svc=("20260214190500", None), signed=True, events=("24362-6",))

D("P01", 8, "DSUM", "RQM:RQM01", "2026-02-17 15:20", "Dr Marguerite Pellinore", CONSULTANT, "Discharge summary: exacerbation of COPD with pneumonia", """
# Diagnoses
- Infective exacerbation of COPD
- Right lower lobe pneumonia, CURB-65 score 3 on arrival
- Dehydration with a small rise in creatinine, resolved (98 to 81 umol/L)

# Hospital course
Mrs Quillfeather was admitted through the emergency department on 14 February, acutely breathless with compensating type 2 respiratory failure. She was treated with controlled oxygen, nebulised bronchodilators, prednisolone and doxycycline; NIV was not needed. Ramipril was held for 48 hours. Sputum grew Haemophilus influenzae, sensitive to doxycycline. By day 3 she was on air with saturation of 91% and walking to the bathroom unaided. CRP at discharge 44 mg/L.

# Allergies
- PENICILLIN: ANAPHYLAXIS (2009). Confirmed with patient and with the record of her practice.

# Discharge medicines
| Medicine | Dose | Status
| Doxycycline | 100 mg once daily until 18 February | new, short course
| Prednisolone | 30 mg once daily until 18 February | new, short course
| Fluticasone furoate/umeclidinium/vilanterol | 92/55/22 micrograms, one inhalation daily | unchanged
| Salbutamol inhaler | 200 micrograms as needed, by spacer | unchanged
| Ramipril | 5 mg once daily | restarted 16 February
| Atorvastatin | 20 mg at night | unchanged
| Colecalciferol | 800 units once daily | unchanged

# Plan for the GP
- U&E in one week, ramipril having been restarted
- Chest radiograph in six weeks to see that the consolidation has cleared: requested here, result to be sent to you
- Please replace the rescue pack

# Plan for others
- COPD early-discharge team of South East London to ring within 24 hours and visit within 72 hours
- Respiratory clinic at St Thomas' brought forward to four weeks

# Information given
Daughter present. Told to seek help if more breathless, drowsy or newly confused. Oxygen alert card renewed: 88 to 92%.
""", fmt="cda", form="urn:ihe:pcc:xds-ms:2007", svc=("20260214224000", "20260217152000"), ps="816074000", signed=True)

# --- P02: echo and 24-hour tape are done already

D("P02", 2, "ECHO", "RJ7:RJ701", "2026-01-20 11:30", "Ms Rosalind Thrupp", HEALTH_PROFESSIONAL, "Transthoracic echocardiogram", """
# Indication
Breathlessness on exertion for four months, NT-proBNP 2,310 ng/L. Rhythm: sinus with frequent ventricular ectopics. Blood pressure 132/74. Image quality fair.

| Measurement | Value | Reference
| LV internal diameter, diastole | 5.9 cm | 3.7-5.6
| LV ejection fraction (biplane) | 34% | 55 or more
| LA volume, indexed | 42 mL/m2 | less than 34
| E/e' average | 16 | less than 14
| TAPSE | 1.8 cm | 1.7 or more
| TR peak velocity | 2.9 m/s | less than 2.8

# Findings
- Dilated left ventricle with severely reduced systolic function. Global hypokinesis, inferior wall akinetic and thinned.
- Moderate functional mitral regurgitation, central jet
- Aortic valve trileaflet, mildly calcified, mean gradient 6 mmHg: sclerosis, no stenosis
- Right ventricle normal in size, low normal function. Estimated PA systolic pressure 39 mmHg.
- No pericardial effusion. No thrombus seen at the apex.

# Conclusion
Severe LV systolic impairment, likely ischaemic. Moderate functional MR. A repeat study within three months is unlikely to change management: look at these images first.
""", svc=("20260120110000", "20260120113000"), events=("US",))

D("P02", 3, "AECG", "RJ6:RJ611", "2026-01-28 16:05", "Mr Edmund Larkspur", HEALTH_PROFESSIONAL, "24-hour ambulatory ECG report", """
# Recording
Three-channel recorder fitted 26 January 2026 at 10:10; 23 hours 41 minutes analysed. Diary: lightheaded at 14:20, none other.

| Measure | Value
| Rhythm | Sinus throughout
| Heart rate, lowest / mean / highest | 48 (04:12) / 71 / 118
| Ventricular ectopics | 4,212 (4.1%), mainly one form; 61 couplets
| Non-sustained VT | one run, 5 beats at 152/min, 14:21
| Supraventricular ectopics | 310, longest run 7 beats
| Longest RR interval | 1.9 s; no AV block above first degree

# Conclusion
Frequent ventricular ectopy with one short run of non-sustained VT at the time of lightheadedness. No atrial fibrillation and no pause. In view of the echo of 20 January (ejection fraction 34%) forwarded to the heart failure team the same day.
""", svc=("20260126101000", "20260127095100"), events=("ECG",))

D("P02", 4, "OPL", "RJ7:RJ701", "2026-02-02 14:10", "Dr Selwyn Astrolabe", CONSULTANT, "Cardiology clinic letter", """
Dear Dr Hazelgrove,

# Diagnoses
- Heart failure with reduced ejection fraction (34%), NYHA class II to III
- Old inferior infarct on echo, no history of chest pain
- Non-sustained VT, one run of 5 beats on 24-hour tape
- Hypertension; benign prostatic hyperplasia

# Medicines after this visit
| Medicine | Dose | Change
| Bisoprolol | 2.5 mg once daily | up from 1.25 mg
| Ramipril | 2.5 mg twice daily | unchanged
| Eplerenone | 25 mg once daily | NEW
| Dapagliflozin | 10 mg once daily | NEW
| Furosemide | 40 mg each morning | unchanged
| Aspirin | 75 mg once daily | NEW
| Atorvastatin | 80 mg at night | up from 20 mg
| Tamsulosin | 400 micrograms once daily | unchanged

# Review
Mr Lanternwood sleeps on two pillows and can walk to the tram stop. Pulse 68, blood pressure 124/70, JVP not raised, trace of ankle oedema, chest clear. Weight 78.4 kg. Both the echo (St George's, 20 January) and the tape (Croydon, 28 January) were on the shared record, so neither was repeated.

# Plan
- U&E at one and four weeks after eplerenone: first sample at Croydon, week of 9 February
- Sick-day rules for dapagliflozin explained
- Stress perfusion MRI to look for viable inferior wall
- Primary prevention ICD to be discussed if the ejection fraction stays at 35% or less after three months on full treatment
- Heart failure nurse to visit at home and titrate
""", ps="789718008", svc=("20260202", None))

D("P02", 5, "CNR", "RJ6:RJ6CC", "2026-02-10 12:15", "Sister Winifred Ashdown", COMMUNITY_NURSE, "Heart failure nurse home visit", """
# Visit
First home visit after cardiology clinic. Lives alone, daughter next door. Consent to share given.

# Observations
| Measure | Value
| Weight | 76.9 kg (clinic 78.4 kg)
| Blood pressure, lying / standing | 118/66 / 110/62 mmHg
| Pulse | 62 /min, regular
| SpO2 | 97% on air
| Oedema | trace, both ankles

# Assessment
Less breathless since dapagliflozin; up once at night to pass urine. Not dizzy on standing. Tablets are in a seven-day box filled by the pharmacy; box checked, right for 10 February. Was using ibuprofen gel and two ibuprofen tablets at night for his knee.

# Plan
- Ibuprofen stopped; paracetamol 1 g up to four times a day. Reason explained.
- Bloods taken today for U&E, sent to Croydon University Hospital
- Bisoprolol to 3.75 mg from 17 February if pulse stays above 55
- Daily weights; ring the team for a gain of 2 kg in three days
- Next visit 24 February. Telephone line number left.
""", fmt="txt", svc=("20260210113000", "20260210121500"), ps="931801000000101", ft="310205006")

D("P02", 6, "BIOC", "RJ6:RJ611", "2026-02-11 07:52", "Dr Leocadia Burnish", CONSULTANT, "Biochemistry: renal profile on eplerenone", """
| Test | Result | Unit | Range | Flag | LOINC
| Sodium | 138 | mmol/L | 133-146 | | 2951-2
| Potassium | 5.2 | mmol/L | 3.5-5.3 | | 2823-3
| Urea | 8.8 | mmol/L | 2.5-7.8 | H | 22664-7
| Creatinine | 118 | umol/L | 59-104 | H | 14682-9
| eGFR (CKD-EPI 2009) | 51 | mL/min/1.73m2 | | | 62238-1

Potassium 4.5 and creatinine 106 on 20 January. Eplerenone started 2 February: repeat in one week; halve the dose at potassium above 5.5, stop above 6.0.
""", fmt="hl7", svc=("20260210120000", None), signed=True, events=("24362-6",))

# --- P03: two-week-wait lung pathway at the Royal London

D("P03", 1, "REF", "ZZ9911", "2026-03-02 09:40", "Dr Ida Fenwick-Thorne", GP, "Suspected lung cancer referral (two-week wait)", """
Dear colleague,

# Reason for referral
URGENT SUSPECTED CANCER: LUNG. Haemoptysis in a smoker over 40.

# History
Ms Marchbanks-Moss, 57, works as a set painter. Five weeks of cough with three episodes of streaky haemoptysis in the last ten days. Lost 4 kg since Christmas without trying. No chest pain. Smokes 15 a day, 38 pack-years; accepted referral to the stop-smoking service.

# Examination
Temperature 36.8, pulse 84, blood pressure 136/82, SpO2 96% on air. Chest clear. No clubbing, no neck nodes, no hepatomegaly. Performance status 1.

# Investigations
- Chest radiograph 26 February: 3 cm rounded opacity, right upper zone
- FBC, U&E, LFT, calcium of 27 February: normal apart from platelets 462. eGFR above 90.

# Past history
- Hysterectomy 2011; mild asthma as a child

# Medicines and allergies
- Salbutamol inhaler as needed
- No known drug allergies

# Information given
She knows that cancer is being looked for and that she should be seen within two weeks. She can attend at short notice; best reached by mobile. The practice's safety-net list will check on 12 March that an appointment was made.
""", ps="788007007", svc=("20260302", None))

D("P03", 2, "APPT", "R1H:R1H12", "2026-03-09 08:30", "Mr Percival Dobbin", CLERK, "Appointment: rapid-access lung clinic, 13 March 2026", """
# Appointment
Rapid-access lung clinic, The Royal London Hospital, Friday 13 March 2026 at 10:20, Dr Cordelia Vantongeren. CT of the chest is booked for Wednesday 11 March at 15:40, same building, level 1.

# Patient instructions
Nothing to eat for two hours before the scan. Bring a list of your medicines. Someone may come with you.
""", fmt="fhir", svc=("20260313102000", "20260313104000"), ps="816074000")

D("P03", 3, "IMG", "R1H:R1H12", "2026-03-11 17:25", "Dr Ottokar Greaves", RADIOLOGIST, "CT thorax and upper abdomen with contrast", """
# Clinical information
Haemoptysis, weight loss, right upper zone opacity. ? primary lung malignancy.

# Technique
Portal venous phase from neck to pelvis after 80 mL iodinated contrast. No reaction. DLP 412 mGy.cm.

# Comparison
Chest radiograph 26 February 2026.

# Findings
- 34 x 29 mm spiculated mass in the posterior segment of the right upper lobe, abutting but not crossing the pleura
- Right hilar node 14 mm short axis (station 10R). Right lower paratracheal node 9 mm (4R), indeterminate. No contralateral nodes.
- No second nodule. Mild upper-zone emphysema. No effusion.
- Liver, adrenals and imaged skeleton clear. Simple cyst of the left kidney, 18 mm.

# Conclusion
Probable primary bronchogenic carcinoma of the right upper lobe; radiological stage cT2a N1 M0 (4R indeterminate). PET-CT and EBUS advised. ALERT: sent to the lung MDT coordinator and the referring practice.
""", form="urn:ihe:rad:PDF", svc=("20260311154000", "20260311155500"), events=("CT",), signed=True)

D("P03", 4, "OPL", "R1H:R1H12", "2026-03-13 12:45", "Dr Cordelia Vantongeren", CONSULTANT, "Rapid-access lung clinic letter", """
Dear Dr Fenwick-Thorne,

# Diagnosis
Right upper lobe mass, 34 mm, probable primary lung cancer, cT2a N1 M0 on CT.

# Review
Thank you for referring Ms Marchbanks-Moss, who came with her sister. She had one more small haemoptysis this week. I explained that the scan shows a lump that is likely to be a cancer and that we need a sample to be sure. Our specialist nurse, Beatrix Holloway, was present and is her key worker.

# Lung function
| Measure | Value | Predicted
| FEV1 | 2.04 L | 82%
| FVC | 2.91 L | 94%
| TLCO | | 71%

# Plan
- EBUS with sampling of 4R and 10R on 16 March; anticoagulants: none
- PET-CT 19 March
- Lung MDT 24 March; clinic 26 March with the result
- Nicotine patch 21 mg and lozenge started today by the tobacco nurse
- If she coughs up more than an egg-cupful of blood: 999
""", ps="816074000", svc=("20260313", None))

D("P03", 5, "CELL", "R1H:R1H12", "2026-03-18 16:50", "Dr Thaddeus Millefleur", CONSULTANT, "Cellular pathology: EBUS lymph node and lung biopsy", """
# Specimens
- A: EBUS-TBNA station 4R
- B: EBUS-TBNA station 10R
- C: CT-guided needle core, right upper lobe

# Macroscopy
A, B: needle rinses, cell blocks prepared. C: three grey cores, the longest 12 mm.

# Microscopy
A: lymphoid material, representative. No malignant cells. B: clusters of atypical glandular cells with mucin vacuoles. C: adenocarcinoma, acinar (60%) and lepidic (40%), moderately differentiated. No small-cell component.

# Immunohistochemistry and molecular tests
| Marker | Result
| TTF-1 | positive
| p40 | negative
| PD-L1 (SP263) | 15%
| EGFR, KRAS, ALK, ROS1 | sent to genomic hub, to follow

# Diagnosis
- A: benign node, station 4R
- B: metastatic adenocarcinoma, station 10R
- C: primary pulmonary adenocarcinoma, moderately differentiated
""", svc=("20260316100000", None), signed=True)

D("P03", 6, "CANC", "R1H:R1H12", "2026-03-24 13:30", "Dr Cordelia Vantongeren", CONSULTANT, "Lung cancer MDT outcome", """
# Discussed
Lung MDT, 24 March 2026. Present: respiratory medicine, thoracic surgery, clinical oncology, radiology, histopathology, specialist nursing.

# Summary
57 years, performance status 1. Adenocarcinoma, right upper lobe. EBUS: 10R positive, 4R negative. PET-CT 19 March: avid primary (SUVmax 11.2) and 10R (6.8); nothing distant. FEV1 82%, TLCO 71%.

# Stage
cT2a N1 M0, stage IIB (TNM 8th edition). PD-L1 15%, molecular panel awaited.

# Decision
- Fit for surgery. Neoadjuvant chemo-immunotherapy to be offered if EGFR and ALK are negative, then right upper lobectomy at St Bartholomew's.
- MRI brain before treatment
- Thoracic surgical clinic 31 March; oncology clinic 2 April
- Prehabilitation and dietitian

# Key worker
Beatrix Holloway, lung cancer specialist nurse. Patient to be told in clinic on 26 March. GP informed within 24 hours.
""", ps="892571000000101", svc=("20260324", None))

# --- P04: Watford and UCLH

D("P04", 3, "DSUM", "RWG:RWG02", "2025-10-10 14:35", "Dr Aurelia Stanhope", CONSULTANT, "Discharge summary: first generalised seizure", """
# Diagnoses
- First generalised tonic-clonic seizure
- Left frontal extra-axial lesion on CT, probable meningioma
- Type 2 diabetes; hypertension

# Hospital course
Found on the kitchen floor by his wife on 8 October after a witnessed three-minute convulsion, confused for half an hour. Bitten tongue. Glucose 7.9 mmol/L. He admitted to four months of morning headache and to losing words. Examination: mild right pronator drift, otherwise normal. CT head: 38 mm dural-based left frontal lesion with local oedema, 4 mm midline shift. Discussed with the on-call neurosurgeons at UCLH: for outpatient MRI, no dexamethasone while well.

# Discharge medicines
| Medicine | Dose | Status
| Levetiracetam | 500 mg twice daily | NEW
| Metformin | 1 g twice daily | unchanged
| Amlodipine | 5 mg once daily | unchanged
| Atorvastatin | 20 mg at night | unchanged

# Allergies
- Trimethoprim: rash

# Plan
- MUST NOT DRIVE; told to inform the DVLA
- Urgent neuro-oncology referral made to UCLH; GP referral letter requested with full record
- Seizure first-aid leaflet given to Mrs Applegarth
""", svc=("20251008072000", "20251010143500"), signed=True)

D("P04", 4, "REF", "ZZ9921", "2025-10-20 17:15", "Dr Lettice Farthingale", GP, "Referral to neurology and neurosurgery, UCLH", """
Dear colleague,

# Reason for referral
Left frontal lesion found after a first seizure (Watford, 8 October). For MRI and surgical opinion, as agreed with your on-call team.

# History
Mr Applegarth, 66, a retired clock restorer, right-handed. His wife reports a change over six months: he has become slow and short-tempered, and stopped doing the crossword. Since levetiracetam no more seizures, but irritability is worse. Headache each morning, eased by noon. No vomiting, no visual symptoms.

# Examination
Alert. Word-finding pauses. Right pronator drift. Fundi normal. Blood pressure 142/84, weight 91 kg.

# Past history
- Type 2 diabetes, HbA1c 58 mmol/mol (September); hypertension; cholecystectomy 2008

# Medicines and allergies
- Levetiracetam 500 mg twice daily; metformin 1 g twice daily; amlodipine 5 mg; atorvastatin 20 mg
- Trimethoprim: rash

# Social
Lives with wife, who does not drive. Transport needed for London appointments. Not driving.
""", svc=("20251020", None))

D("P04", 5, "OPL", "RRV:RRV03", "2025-12-04 15:40", "Dr Ignatius Merriweather", CONSULTANT, "Neurology clinic letter", """
Dear Dr Farthingale,

# Diagnosis
Symptomatic left frontal convexity meningioma with seizures.

# Review
I saw Mr and Mrs Applegarth with the scan of this morning. One focal aware seizure since October: right hand jerking for a minute, with speech arrest. Examination: verbal fluency 7 words a minute, right pronator drift, brisk right reflexes, plantars flexor. MoCA 22/30, losing points on fluency and recall.

# MRI
41 mm enhancing dural-based mass over the left frontal convexity, vasogenic oedema and 5 mm shift: a little larger than the CT of October.

# Discussion
Size, oedema and symptoms favour removal. We spoke of the risks: speech difficulty, weakness, infection, clot, stroke, and about 1% mortality. He wishes to go ahead.

# Plan
- Listed for craniotomy under Miss Valencourt, January
- Levetiracetam raised to 750 mg twice daily; if mood does not settle, change to lamotrigine
- Dexamethasone 2 mg twice daily from one week before surgery with omeprazole; please check glucose twice daily, metformin continues
- Driving: DVLA informed, must not drive
""", ps="788005004", svc=("20251204", None))

D("P04", 6, "IMG", "RRV:RRV03", "2025-12-04 12:20", "Dr Philomena Dray", RADIOLOGIST, "MRI head with contrast", """
# Clinical information
Seizures, left frontal lesion on CT (Watford, 8 October 2025).

# Technique
T1, T2, FLAIR, diffusion, susceptibility; volumetric T1 after gadolinium. 3 tesla.

# Comparison
CT head, Watford General Hospital, 8 October 2025, by image exchange.

# Findings
- Left frontal convexity: extra-axial mass, 41 x 36 x 33 mm (CT: 38 mm), isointense on T1, uniform enhancement, dural tail, a CSF cleft round most of it. No restricted diffusion.
- Moderate white-matter oedema; midline shift 5 mm. No hydrocephalus.
- Superior sagittal sinus patent; the mass lies 9 mm lateral to it. Overlying bone slightly thickened.
- No other lesion. Scattered small-vessel change.

# Conclusion
Left frontal convexity meningioma, slightly larger, with oedema. No sign of sinus invasion. Discussed at the skull-base and meningioma MDT.
""", fmt="cda", form="urn:ihe:rad:CDA:ImagingReportStructuredHeadings:2013", svc=("20251204093000", "20251204101500"), events=("MR",), signed=True)

D("P04", 7, "OPN", "RRV:RRV03", "2026-01-15 16:30", "Miss Isolde Valencourt", CONSULTANT, "Operation note: left frontal craniotomy, excision of meningioma", """
# Operation
Image-guided left frontal craniotomy and excision of convexity meningioma.

# Team
Surgeon Miss I Valencourt; assistant Mr L Quarrington; anaesthetist Dr S Tarnside. General anaesthesia. WHO checklist done.

# Indication
Enlarging symptomatic meningioma with seizures.

# Findings and procedure
- Supine, head turned 30 degrees right, three-pin fixation; navigation accuracy 1.2 mm
- Levetiracetam 1 g, dexamethasone 8 mg, cefuroxime 1.5 g at induction. No mannitol needed.
- Curved incision behind the hairline. Free bone flap 6 x 5 cm; inner table hyperostotic, drilled
- Dura opened round the tumour. Firm, well-defined, good arachnoid plane. Cortical veins kept.
- Debulked by ultrasonic aspirator, capsule rolled in. Complete removal with dural margin: Simpson grade 1
- Synthetic dural patch. Bone flap fixed with plates. Clips to skin.

# Blood loss and specimens
Blood loss 350 mL. Tumour and dura to neuropathology.

# After operation
- Neuro HDU, hourly neuro observations, blood pressure below 150 systolic
- CT head in the morning; dexamethasone 4 mg twice daily, reducing
- Stockings and pneumatic boots; tinzaparin from 24 hours if CT is clear
- Clips out on day 10 at the practice
""", ps="310159002", svc=("20260115083000", "20260115130000"))

D("P04", 8, "DSUM", "RRV:RRV03", "2026-01-19 13:10", "Mr Lorcan Quarrington", REGISTRAR, "Discharge summary: excision of left frontal meningioma", """
# Diagnoses
- Left frontal convexity meningioma, WHO grade 1 (provisional), complete excision 15 January
- Steroid-induced hyperglycaemia in type 2 diabetes

# Hospital course
Recovery without complication. CT on day 1: expected post-operative appearance, no haematoma. Speech slow on day 1, back to baseline on day 3. Right arm drift gone. No seizures. Capillary glucose up to 16 mmol/L on dexamethasone: gliclazide added for as long as steroids continue. Walking stairs safely before discharge.

# Discharge medicines
See the separate list of 19 January from the ward pharmacist. Levetiracetam was raised; dexamethasone is a reducing course; gliclazide ends with it.

# Allergies
- Trimethoprim: rash

# Plan for the GP
- Remove 24 clips on 25 January
- Glucose twice daily until three days after the last dexamethasone
- Sick note issued for six weeks

# Plan for the hospital
- Histology and MDT 29 January; clinic six weeks with MRI at three months
- Must not drive; DVLA rules explained (seizure and craniotomy)

# Advice
Return at once for drowsiness, seizure, worsening headache, fever or fluid from the wound.
""", ps="310159002", svc=("20260115070000", "20260119131000"), signed=True)

D("P04", 9, "RX", "RRV:RRV03", "2026-01-19 12:30", "Ms Perpetua Galbraith", PHARMACIST, "Discharge medicines list", """
# Discharge medicines
| Medicine | Dose | Status | Supply
| Levetiracetam 750 mg tablets | 750 mg twice daily | dose raised | 28 days
| Dexamethasone 2 mg tablets | 2 mg twice daily for 3 days, 2 mg once daily for 3 days, then stop | short course | 9 tablets
| Omeprazole 20 mg capsules | 20 mg once daily, stop with dexamethasone | new | 14 days
| Gliclazide 40 mg tablets | 40 mg each morning, stop with dexamethasone | new | 14 days
| Metformin 500 mg tablets | 1 g twice daily | unchanged | own supply
| Amlodipine 5 mg tablets | 5 mg once daily | unchanged | own supply
| Atorvastatin 20 mg tablets | 20 mg at night | unchanged | own supply
| Paracetamol 500 mg tablets | 1 g up to four times daily as needed | new | 7 days

# Allergies
- Trimethoprim: rash

# Pharmacist's note
Reconciled against the practice list and the Watford discharge of 10 October 2025. Codeine not supplied: patient preferred paracetamol.
""", fmt="fhir", svc=("20260119", None), ps="310080006", ft="22232009")

# --- P05, P06: antenatal care in Harlow, birth at Whipps Cross, home to Harlow

D("P05", 1, "ANC", "RQW:RQWG0", "2025-11-12 10:50", "Ms Honor Applewhite", MIDWIFE, "Antenatal care plan", """
# Pregnancy
Gravida 2 para 1. Estimated date of delivery 24 February 2026 by scan. 25 weeks and 1 day today. Booking BMI 27.

# Risks
- Emergency caesarean section 2022 for slow progress at 7 cm (Harlow), lower segment, two layers
- Sickle cell trait (HbAS); partner tested AA
- Rhesus B positive. Antibodies: none

# Screening
| Test | Result
| Combined test | low chance, 1 in 4,800
| Anomaly scan 20+3 | normal, placenta posterior and clear of the os
| HIV, hepatitis B, syphilis | not detected
| Glucose tolerance test | booked 26 weeks

# Plan
- Wishes vaginal birth after caesarean. Seen at the VBAC clinic 5 November; agreed: in hospital, continuous CTG, cannula, group and save.
- Growth scans at 28, 32 and 36 weeks
- RSV vaccine from 28 weeks and whooping cough vaccine given 29 October
- Ferrous sulfate 200 mg daily: haemoglobin 103 g/L
- No allergies

# Where
Booked at Princess Alexandra. Often stays with her mother in Leytonstone: if in labour there, go to Whipps Cross; this plan is on the shared record.
""", svc=("20251112", None))

D("P05", 2, "EDR", "RQW:RQWG0", "2026-01-05 23:25", "Dr Evander Pilkington", CLINICIAN, "Emergency attendance: reduced fetal movements", """
# Presenting complaint
32 weeks and 6 days, reduced movements since the morning and a fall on ice at 17:00, landing on the hip. No bleeding, no loss of fluid.

# Observations
| Measure | Value
| Blood pressure | 112/68 mmHg
| Pulse | 88 /min
| Temperature | 36.7 C
| SpO2 | 99% on air

# Assessment
Abdomen soft, not tender over the scar. Bruise over the right greater trochanter, walking. Computerised CTG: criteria met at 14 minutes, baseline 138. Ultrasound: cephalic, liquor normal, umbilical artery Doppler normal. Kleihauer not needed (B positive).

# Diagnosis
Reduced fetal movements with normal assessment; soft-tissue injury of the hip.

# Disposal
Home with partner at 23:10. Advice on movements and abruption warning signs. Community midwife to ring next day; growth scan kept for 9 January.
""", svc=("20260105195000", "20260105231000"), ps="310063007")

D("P05", 3, "MAT", "R1H:R1HKH", "2026-02-20 21:30", "Ms Delphine Osterley", MIDWIFE, "Labour and birth record", """
# Admission
39 weeks and 3 days. Contractions 3 in 10 from 04:00 at her mother's home in Leytonstone. Arrived 08:05 in established labour, 5 cm. Antenatal plan of Princess Alexandra Hospital read on the shared record: previous caesarean, VBAC agreed.

# Labour
| Event | Time
| Established labour | 07:30
| Membranes ruptured, clear liquor | 11:20
| Epidural | 12:05
| Fully dilated | 15:40
| Birth | 17:26
| Placenta complete, active third stage | 17:41

# Birth
Ventouse for a prolonged second stage, one pull, no scar tenderness at any time. Live male infant, 3,480 g, Apgar 8 at 1 minute, 9 at 5 minutes. Cord gases: arterial pH 7.24, venous 7.31. Delayed cord clamping 2 minutes.

# Mother
- Right mediolateral episiotomy, repaired in theatre room under epidural; rectal examination normal
- Blood loss 620 mL; oxytocin 40 units over 4 hours; haemoglobin next day 92 g/L
- Skin to skin at once; first breastfeed at 40 minutes

# Baby
See the newborn record. Vitamin K 1 mg given intramuscularly.
""", fmt="cda", form="urn:ihe:pcc:lds:2009", svc=("20260220080500", "20260220202000"), ps="310063007")

D("P05", 4, "DSUM", "R1H:R1HKH", "2026-02-22 12:40", "Dr Sibyl Karthaus", REGISTRAR, "Maternity discharge summary", """
# Diagnoses
- Ventouse birth after previous caesarean, 20 February 2026, live male infant 3,480 g
- Postpartum haemorrhage, minor: 620 mL
- Anaemia, haemoglobin 92 g/L

# Hospital course
Observations normal since birth. Passing urine, 400 mL on first void after the catheter. Episiotomy clean. Breastfeeding with help for the latch. Calf examination normal. Thrombosis score 2: dalteparin for 10 days.

# Discharge medicines
| Medicine | Dose | Status
| Dalteparin | 5,000 units subcutaneously once daily until 2 March | new
| Ferrous sulfate | 200 mg twice daily for three months | raised
| Ibuprofen | 400 mg three times daily as needed, 5 days | new
| Paracetamol | 1 g four times daily as needed | new
| Lactulose | 15 mL twice daily as needed | new

# Allergies
- None known

# Plan
- Discharged to the community midwives of Princess Alexandra, Harlow: first visit 23 February
- Haemoglobin at six weeks with the GP; six-to-eight-week check
- Contraception: would like the implant, not yet fitted
- Birth debrief offered
""", ps="310063007", svc=("20260220080500", "20260222124000"), signed=True)

D("P05", 5, "PNC", "RQW:RQWG0", "2026-02-24 11:20", "Ms Honor Applewhite", MIDWIFE, "Postnatal care plan", """
# Visit
Day 4 at home in Harlow. Discharge letter and birth record of Whipps Cross read on the shared record.

# Mother
Well. Blood pressure 118/72, pulse 80, temperature 36.6. Uterus firm below the umbilicus, lochia normal. Stitches clean, sore. Giving her own dalteparin. Mood: tearful on day 3, better today; slept five hours in two parts; good support.

# Baby
Weight 3,290 g (5.5% below birth weight). Latching well after positioning help; 8 feeds and 5 wet nappies in 24 hours. Slight jaundice to the face, bilirubinometer 118 umol/L, below the line. Blood spot card due on day 5 (tomorrow).

# Plan
- Visit day 5 for blood spot, day 10 for weight and transfer to the health visitor
- Dalteparin to 2 March; iron for three months
- Safe sleeping and coping with crying talked through
- Implant at the six-week check
- Tell any clinician caring for her in a next pregnancy: one caesarean, one ventouse birth after it
""", svc=("20260224", None), ft="310205006")

D("P06", 1, "DSUM", "R1H:R1HKH", "2026-02-22 12:55", "Dr Anselm Kettlewell", REGISTRAR, "Newborn discharge summary", """
# Birth
Born 20 February 2026 at 17:26, 39 weeks and 3 days, ventouse, live male. Birth weight 3,480 g (50th centile), head 35.0 cm, length 51 cm. Apgar 8 and 9. Cord arterial pH 7.24.

# Identity
Registered with a hospital number only at birth (NHS number status 08); NHS number allocated by the birth notification on 21 February, traced and verified (status 01).

# Newborn examination (36 hours)
- Heart: no murmur, femorals felt. Saturations 98% hand, 99% foot
- Eyes: red reflex both. Hips: stable. Testes: both down. Palate: whole
- Chignon from the ventouse, settling. No cephalhaematoma

# Screening and prophylaxis
| Item | Result
| Vitamin K | 1 mg intramuscular, 20 February
| Hearing screen | clear response, both ears, 21 February
| Blood spot | due day 5, community midwife; includes SCID
| Hepatitis B risk | none
| BCG | eligible; to be given after the SCID result

# Family
Mother has sickle cell trait; father AA. Screening result to be shared with the practice.

# Plan
- Breastfeeding. Community midwives of Harlow, then the health visitor of Hertfordshire Community NHS Trust
- GP registration at Cassio Example Practice in progress
""", fmt="cda", form="urn:ihe:pcc:nds:2010", ps="310066004", svc=("20260220172600", "20260222125500"), signed=True)

D("P06", 2, "HVR", "RY4", "2026-03-06 14:20", "Ms Clarity Bowbridge", COMMUNITY_NURSE, "Health visitor new birth visit", """
# Visit
New birth visit at 14 days, at home, mother and father present. Red book filled in.

# Baby
| Measure | Value | Centile
| Weight | 3,610 g | 50th
| Head circumference | 35.9 cm | 50th
| Length | 52.0 cm | 50th

Above birth weight. Breastfed on demand, 8 to 10 times a day, seven wet nappies. Jaundice gone. Cord off, clean. Alert, fixes on a face, startles to sound. Chignon has resolved.

# Results
Blood spot of 25 February: sickle FAS (carrier), other conditions not suspected, SCID not suspected. Parents told that he is a carrier and well; leaflet given.

# Family
Mother's mood: Whooley questions both negative. Sister aged three adjusting. No concerns at home. Smoke free. Safe sleep: own cot, on back.

# Plan
- BCG clinic 30 March at the practice
- Eight-week vaccines and check from 17 April
- Vitamin D drops 8.5 micrograms daily
- Clinic weigh in two weeks; universal service
""", svc=("20260306131500", "20260306142000"), ft="310205006")

D("P06", 3, "IMM", "ZZ9921", "2026-03-30 10:35", "Sister Juniper Latchford", NURSE, "Immunisation record", """
# Immunisations given
| Vaccine | Date | Dose | Site | Batch
| BCG (tuberculosis) | 30 March 2026 | 0.05 mL intradermal | left upper arm | EX2603B

# Checks
SCID screening: not suspected (blood spot of 25 February). Well, afebrile. Mother's HIV test in pregnancy: not detected. Consent from mother. No immediate reaction, watched for 15 minutes. Weight 4,420 g.

# Due
| Vaccine | From
| 6-in-1, rotavirus, MenB (first) | 17 April 2026
| 6-in-1, rotavirus, MenB (second) | 15 May 2026
| 6-in-1, pneumococcal (PCV) | 12 June 2026

# Advice
Do not give other vaccines in the left arm for three months. A small blister or ulcer at the site is normal at two to six weeks; no dressing.
""", fmt="cda", form="urn:ihe:pcc:ic:2009", svc=("20260330", None), events=("33879002",))

# --- P07: cyclist, Mile End, major trauma, repatriated to Milton Keynes

D("P07", 1, "AMB", "RRU", "2025-09-12 08:05", "Mr Caspian Thornbury", PARAMEDIC, "Ambulance patient summary: cyclist struck by van", """
# Incident
Call 07:02, on scene 07:10, Mile End Road. Cyclist struck from the left by a turning van at about 25 mph, thrown 4 m. Helmet worn, cracked. Major trauma tree positive: pre-alert to The Royal London.

# Primary survey
- C: bleeding from open left lower leg, controlled with a dressing and direct pressure
- A clear, collar and blocks. B: reduced air entry left base, tender ribs
- C: pale, radial pulse felt. Abdomen tender on the left. Pelvis bound
- D: GCS 14 (E4 V4 M6), pupils equal

# Observations
| Time | Pulse | BP | Resp | SpO2 | GCS
| 07:14 | 118 | 94/60 | 26 | 94% air | 14
| 07:29 | 110 | 102/64 | 24 | 99% 15 L | 14
| 07:44 | 106 | 108/66 | 22 | 99% 15 L | 15

# Treatment
- Tranexamic acid 1 g intravenously 07:20
- Ketamine 20 mg, then 10 mg; leg realigned and splinted, foot pulse present after
- Sodium chloride 0.9% 250 mL; co-amoxiclav 1.2 g (open fracture) 07:35, no known allergies

# Handover
The Royal London, resuscitation, 07:52, trauma team. Wallet gives an address in Milton Keynes; wife reached by telephone.
""", svc=("20250912061000", "20250912065200"))

D("P07", 2, "EDR", "R1H:R1H12", "2025-09-12 10:10", "Miss Araminta Foxglove", CONSULTANT, "Emergency department summary: major trauma", """
# Presenting complaint
Cyclist against van. Trauma team activation, arrival 07:52.

# Findings
- Airway clear. Left lateral ribs 7 to 10 tender, small haemothorax on eFAST
- Pulse 108, blood pressure 104/66, lactate 3.1. eFAST: free fluid in the left upper quadrant
- GCS 15. Neck: no bony tenderness, cleared on CT
- Left tibia: 9 cm open wound over the medial mid-shaft, bone visible, soft-tissue loss, pulses present, sensation whole

# CT (trauma series)
Splenic laceration grade II without blush; left rib fractures 8 to 10; small left haemothorax; head, neck and pelvis clear.

# Treatment
- Two units of red cells; second gram of tranexamic acid by infusion
- Co-amoxiclav 1.2 g every 8 hours; tetanus booster
- Wound photographed, saline gauze, backslab
- Fascia iliaca block for transfer to scan

# Diagnosis
- Open fracture, left tibial shaft, Gustilo-Anderson IIIB
- Splenic laceration grade II; rib fractures 8 to 10 left with small haemothorax. ISS 22

# Disposal
Orthoplastic list 13 September morning. Trauma ward HDU, non-operative management of the spleen. No NSAID. No enoxaparin for 48 hours.
""", ps="409971007", svc=("20250912065200", "20250912091000"))

D("P07", 3, "IMG", "R1H:R1H12", "2025-09-12 09:05", "Dr Ottokar Greaves", RADIOLOGIST, "CT trauma series", """
# Clinical information
Cyclist against van, hypotensive at scene. eFAST positive.

# Technique
Unenhanced head and neck; arterial and portal venous chest, abdomen, pelvis; run-off to the ankles. DLP 1,380 mGy.cm.

# Findings
Head: no bleed, no skull fracture.
Cervical spine: no fracture, normal alignment.
Chest: undisplaced fractures of left ribs 8, 9 and 10. Small left haemothorax (est. 120 mL). No pneumothorax. Aorta normal.
Abdomen: laceration of the splenic lower pole, 2.4 cm deep, perisplenic blood 3 cm. No active bleeding, no pseudoaneurysm. Liver, kidneys, pancreas and bowel normal.
Pelvis: no fracture. Small free fluid.
Left leg: comminuted mid-shaft tibial fracture with butterfly fragment, fibular fracture at the same level. Three-vessel run-off.

# Conclusion
- AAST grade II splenic laceration, no active bleed
- Left rib fractures 8 to 10, small haemothorax
- Comminuted open fracture of the left tibia and fibula, vessels whole

Told to the trauma team leader at 08:32. Final report by consultant.
""", fmt="txt", form="urn:ihe:rad:TEXT", svc=("20250912071500", "20250912073000"), events=("CT",), signed=True)

D("P07", 4, "KOS", "R1H:R1H12", "2025-09-12 09:10", "Dr Ottokar Greaves", RADIOLOGIST, "Imaging manifest: CT trauma series", "Manifest of the CT trauma series",
  fmt="kos", svc=("20250912071500", "20250912073000"), events=("CT",))

D("P07", 5, "OPN", "R1H:R1H12", "2025-09-13 15:50", "Mr Barnabas Holt", CONSULTANT, "Operation note: debridement, nailing and flap, left tibia", """
# Operation
Debridement of open tibial fracture, intramedullary nail, free anterolateral thigh flap and split skin graft. Left leg.

# Team
Orthopaedics Mr B Holt; plastic surgery Miss Y Sandringham-Okoro; anaesthetist Dr P Fell. WHO checklist done. General anaesthesia with femoral and sciatic block.

# Findings and procedure
- Wound 9 x 5 cm after extension along fasciotomy lines; one devitalised butterfly fragment (3 cm) removed; muscle healthy (colour, contraction, bleeding)
- 9 L saline lavage. Repreparation, new instruments
- Reamed antegrade nail 10 x 345 mm, locked two above and two below. Length and rotation matched to the right
- Free ALT flap from the right thigh, 14 x 8 cm, end-to-side to posterior tibial artery, two veins. Ischaemia time 58 minutes. Donor site closed
- Tranexamic acid 1 g; co-amoxiclav continues to 72 hours

# Blood loss
480 mL; one unit of red cells.

# After operation
- Flap observations every 30 minutes for 24 hours; leg raised; no dangling for 5 days
- Knee and ankle movement at once; partial weight-bearing from week 2
- Enoxaparin 40 mg daily from 48 hours after injury if haemoglobin is stable
- Bone gap 3 cm on one cortex: consider graft at 12 weeks
""", ps="310166001", svc=("20250913073000", "20250913143000"))

D("P07", 6, "TOC", "R1H:R1H12", "2025-09-21 11:00", "Dr Lavinia Crewe", REGISTRAR, "Transfer of care to Milton Keynes University Hospital", """
Dear colleague,

Thank you for accepting Mr Brackenridge, 37, back to his local hospital.

# Injuries
- Open left tibia IIIB: nail and free flap 13 September
- Splenic laceration grade II, non-operative. Ultrasound 19 September: no pseudoaneurysm, collection smaller
- Left rib fractures 8 to 10; haemothorax resolved

# State at transfer
Flap pink, warm, good Doppler; dangling 10 minutes three times a day. Pulse 82, blood pressure 122/74, SpO2 98% on air, temperature 36.9. Haemoglobin 96 g/L. MRSA screen negative. Pain 3 of 10 on movement.

# Medicines
| Medicine | Dose
| Enoxaparin | 40 mg once daily until walking, then 28 days in all
| Aspirin | 75 mg once daily until 13 October (flap)
| Paracetamol | 1 g four times daily
| Morphine modified release | 10 mg twice daily, reducing
| Senna | 15 mg at night
| Ferrous sulfate | 200 mg once daily

Antibiotics finished 16 September. No allergies.

# Please
- Flap dressing alternate days; graft check 24 September
- Partial weight-bearing 20 kg from 27 September
- Avoid contact sport for three months (spleen); no vaccines needed, spleen kept
- Orthoplastic clinic here at six weeks by video; radiographs from your own department can be seen by us
- Trauma psychology: startles in traffic noise, poor sleep; please refer
""", ps="310166001", svc=("20250912065200", "20250921110000"))

D("P07", 7, "DSUM", "RD8:RD816", "2025-10-03 14:00", "Mr Alaric Penrose-Ndiaye", CONSULTANT, "Discharge summary: rehabilitation after major trauma", """
# Diagnoses
- Open fracture of left tibia and fibula, IIIB, nailed and covered 13 September 2025 (The Royal London)
- Splenic laceration grade II, healed on ultrasound
- Left rib fractures

# Hospital course
Transferred from The Royal London on 21 September. Flap healthy throughout. Skin graft 95% taken. One fever on 25 September (38.1) from a urinary infection, E. coli, nitrofurantoin for 7 days. Partial weight-bearing with two crutches, stairs safe. Haemoglobin 112 g/L.

# Discharge medicines
| Medicine | Dose | Status
| Enoxaparin | 40 mg once daily until 12 October | continue
| Aspirin | 75 mg once daily until 13 October | continue
| Paracetamol | 1 g four times daily | continue
| Codeine | 30 mg up to four times daily as needed, 5 days | new
| Ferrous sulfate | 200 mg once daily for three months | continue

# Plan
- Fracture clinic six weeks with radiograph
- Community physiotherapy twice a week; crutches, perching stool and bath board delivered
- Trauma-focused CBT referral made
- Fit note to 31 December; employer contacted with consent
""", ps="893431000000109", svc=("20250921150000", "20251003140000"), signed=True)

D("P07", 8, "OPL", "RD8:RD816", "2025-11-14 10:05", "Mr Alaric Penrose-Ndiaye", CONSULTANT, "Orthopaedic clinic letter, nine weeks", """
Dear Dr Farrant,

# Diagnosis
Open left tibial fracture IIIB, nine weeks after nail and free flap.

# Review
Walking with one crutch, full weight as comfort allows. Flap settled and soft, donor thigh healed. Knee 0 to 130 degrees, ankle 5 degrees short of the right in dorsiflexion. Sensation normal. Two nights a week of bad dreams, seeing the therapist.

# Radiograph today
Callus on three of four cortices; the medial gap is bridging slowly. Nail and screws unchanged. Compared with the films of The Royal London (13 September) on the shared record.

# Plan
- Go on with full weight; no bone graft for now, joint decision with Mr Holt by video
- Vitamin D 46 nmol/L: colecalciferol 800 units daily, please
- Smoking: has stopped since the accident, well done
- Radiograph and clinic at 16 weeks. No return to cycling on the road before union.
""", ps="893431000000109", svc=("20251114", None))

# --- P08: tuberous sclerosis, Great Ormond Street and Luton

D("P08", 1, "OPL", "RP4:RP401", "2025-10-15 16:20", "Dr Finola Kestrel", CONSULTANT, "Paediatric neurology clinic letter", """
Dear Dr Copperfield,

# Diagnoses
- Tuberous sclerosis complex (clinical criteria met; gene result awaited)
- Focal epilepsy, drug resistant
- Mixed motor disorder with low trunk tone: uses a powered wheelchair
- Moderate learning disability

# Review
Saoirse, 8, came with both parents and raced me down the corridor. Two to three focal seizures a week, each under two minutes, mostly from sleep. One long seizure in July needed buccal midazolam. Weight 24.6 kg. Eight hypomelanotic macules and facial angiofibromas. Blood pressure 98/60.

# Medicines
| Medicine | Dose
| Carbamazepine modified release | 200 mg twice daily
| Vigabatrin | 500 mg twice daily, reducing
| Everolimus | 3 mg once daily, trough 6.1 ng/mL
| Buccal midazolam | 7.5 mg for seizures over 5 minutes

# Plan
- Reduce vigabatrin by 250 mg every four weeks to stop; visual fields not testable, electroretinogram in November
- MRI head: subependymal lesion at the left foramen of Monro, 8 mm, unchanged. Next in one year
- Renal ultrasound: two angiomyolipomas, largest 14 mm
- Photographs taken today by medical illustration, with consent
- No live vaccines while on everolimus
- Emergency health care plan to be written locally; we will gladly comment
""", ps="310068003", ft="82242000", svc=("20251015", None))

D("P08", 2, "GENE", "RP4:RP401", "2025-10-29 11:15", "Dr Octavian Limewell", CONSULTANT, "Genomic laboratory report: TSC1 and TSC2", """
# Reason for test
Clinical tuberous sclerosis complex: cortical tubers, subependymal nodules, angiofibromas, hypomelanotic macules.

# Result
A PATHOGENIC VARIANT in TSC2 was found.

| Gene | Variant | Zygosity | Class
| TSC2 | c.1832G>A p.(Arg611Gln) | heterozygous | 5, pathogenic

# Interpretation
This confirms the diagnosis of tuberous sclerosis complex. The variant is well described and reported with the TSC2 phenotype.

# Family
Parental samples: variant not detected in either blood. The change has probably arisen anew in Saoirse. Germline mosaicism in a parent cannot be ruled out: recurrence 1 to 2%. Genetic counselling is offered.

# Method
Exome-based panel R228, TSC1 and TSC2, with dosage analysis; coverage above 30x for 99.6% of the target. Confirmed by Sanger sequencing.
""", svc=("20251015", None), ft="82242000", signed=True)

D("P08", 3, "PHOTO", "RP4:RP401", "2025-10-15 15:05", "Ms Petra Lightfoot", HEALTH_PROFESSIONAL, "Medical photograph: hypomelanotic macules, left thigh", "",
  fmt="photo", ps="310068003", ft="82242000", svc=("20251015150500", None))

D("P08", 4, "DSUM", "RC9:RC971", "2026-01-08 13:45", "Dr Imogen Strand", CONSULTANT, "Paediatric discharge summary: status epilepticus with influenza", """
# Diagnoses
- Convulsive status epilepticus, ended in hospital
- Influenza A
- Tuberous sclerosis complex (TSC2)

# Hospital course
Brought by ambulance on 5 January after a 22-minute generalised seizure with fever of 39.2. Buccal midazolam 7.5 mg by mother at 5 minutes and lorazepam 2.5 mg by the crew at 15 minutes. In resuscitation: second lorazepam, then levetiracetam 1 g (40 mg/kg) over 5 minutes, which ended the seizure. No intubation. The neurology letter and medicines list of Great Ormond Street were read on the shared record. Everolimus was held from 5 January because of infection, on advice of Dr Kestrel by telephone.

# Investigations
Influenza A PCR positive. CRP 22. Carbamazepine 7.4 mg/L. Sodium 134. CT head: no haemorrhage, no hydrocephalus.

# Discharge medicines
| Medicine | Dose | Status
| Carbamazepine modified release | 200 mg twice daily | unchanged
| Vigabatrin | 250 mg twice daily | reduction paused
| Oseltamivir | 60 mg twice daily, last dose 9 January | new
| Everolimus | HELD, restart 12 January if no fever | held
| Buccal midazolam | 7.5 mg for seizures over 5 minutes | renewed, two at home, two at school

# Plan
- Emergency health care plan to be written at clinic on 30 January
- Everolimus level two weeks after restart, result to Great Ormond Street
- Physiotherapy review: hip abduction tighter since illness
""", ps="310066004", svc=("20260105184000", "20260108134500"), signed=True)

D("P08", 5, "EHCP", "RC9:RC971", "2026-01-30 15:30", "Dr Imogen Strand", CONSULTANT, "Emergency health care plan", """
# Who I am
Saoirse, 8. I have tuberous sclerosis and epilepsy. I use a powered wheelchair (92 kg with me in it). I know my own name, my chair's name (Comet) and all the words of one song. I follow simple sentences; give me time. Weight 25 kg.

# Seizures
- Usual: staring and right hand fumbling, under 2 minutes. Keep safe, no treatment
- EMERGENCY: any seizure over 5 minutes, or three in one hour

# What to do
- 5 minutes: buccal midazolam 7.5 mg. Call 999
- 15 minutes: lorazepam 0.1 mg/kg (2.5 mg) intravenously
- 20 minutes: levetiracetam 40 mg/kg (1 g) over 5 minutes: it worked in January 2026
- AVOID phenytoin if possible; carbamazepine is on board
- Remember the brain lesion: new headache, vomiting or drowsiness means CT and a call to neurosurgery

# Infection
Everolimus lowers immunity. Fever over 38: see the same day, bloods, hold everolimus, ring the neurology team in London.

# Decisions
Full resuscitation and intensive care. Agreed with both parents. Review by January 2027.

# Contacts
Lead: Dr I Strand, Luton. London: Dr F Kestrel. Hoist needed for all transfers; sling size medium.
""", svc=("20260130", None))

D("P08", 6, "IMM", "ZZ9923", "2025-04-02 09:50", "Sister Marigold Venn", NURSE, "Immunisation record", """
# Immunisations given
| Vaccine | Date | Dose | Note
| 6-in-1 | 28 April 2017 | first |
| 6-in-1 | 2 June 2017 | second |
| 6-in-1 | 30 June 2017 | third |
| MMR | 9 March 2018 | first | before everolimus
| Hib/MenC | 9 March 2018 | booster |
| 4-in-1 preschool | 10 September 2020 | booster |
| MMR | 10 September 2020 | second | before everolimus
| Influenza, inactivated injection | 14 October 2024 | annual | not nasal: on everolimus
| Pneumococcal PPV23 | 2 April 2025 | single | batch EX2504P

# Note
NO LIVE VACCINES while on everolimus (started January 2023). Household contacts offered influenza vaccine each year.
""", fmt="fhir", svc=("20250402", None), events=("33879002",))

# --- P09: Ipswich, tonsil cancer, treated at UCLH

D("P09", 1, "IMG", "RDE:RDE03", "2025-08-04 15:30", "Dr Leopoldine Yarwood", RADIOLOGIST, "CT neck and thorax with contrast", """
# Clinical information
Left neck lump six weeks, otalgia. ? primary.

# Findings
- Left palatine tonsil: enhancing mass 26 x 22 mm, not crossing the midline, parapharyngeal fat kept
- Left level II node 31 mm, partly necrotic, margin sharp. Left level III node 12 mm
- Right neck clear. Larynx and thyroid normal
- Thorax: no nodules. Coronary calcification. Small hiatus hernia

# Conclusion
Probable left tonsillar primary with left level II and III nodes: radiological T2 N1 (if p16 positive) M0. Suggest ultrasound-guided core of level II and panendoscopy. Sent to the head and neck MDT.
""", form="urn:ihe:rad:PDF", svc=("20250804100000", "20250804102000"), events=("CT",), signed=True)

D("P09", 2, "CELL", "RDE:RDE03", "2025-08-12 14:40", "Dr Crispin Ormathwaite", CONSULTANT, "Cellular pathology: tonsil biopsy and neck node core", """
# Specimens
- A: left tonsil, incisional biopsy, 8 x 6 x 4 mm
- B: left level II node, two cores, 11 and 9 mm

# Microscopy
A: non-keratinising squamous cell carcinoma with lymphoid stroma, no perineural invasion in the sample. B: node replaced by the same tumour, with necrosis.

# Immunohistochemistry
| Marker | Result
| p16 | positive, strong and diffuse (over 70%)
| HPV DNA in situ hybridisation | high-risk HPV detected
| EBER | negative

# Diagnosis
HPV-associated squamous cell carcinoma of the left tonsil with metastasis to the left level II node. Slides available for review at UCLH.
""", svc=("20250808", None), signed=True)

D("P09", 3, "REF", "RDE:RDE03", "2025-08-14 17:00", "Miss Thomasina Wade", CONSULTANT, "Referral to head and neck oncology, UCLH", """
Dear Professor Montacute,

# Reason for referral
HPV-positive squamous carcinoma of the left tonsil, T2 N1 M0, for opinion on proton against photon radiotherapy, as discussed at our MDT today.

# History
Mr Saltmarshe, 75, a retired pilot boat skipper. Left neck lump and earache for ten weeks. Weight 71 kg, was 75. Never smoked; a pint a day. Swallowing solids with care. Performance status 1.

# Past history
- Bilateral sensorineural deafness, hearing aids both ears (not a cisplatin candidate)
- Angina, stent 2017; hypertension

# Medicines and allergies
- Aspirin 75 mg, bisoprolol 2.5 mg, ramipril 5 mg, atorvastatin 40 mg, GTN spray
- No known allergies

# Sent
CT 4 August by image exchange; histology slides by courier. Dental assessment 20 August, Ipswich. He would stay with his son in Camden during treatment.
""", ps="310156009", ft="22232009", svc=("20250814", None))

D("P09", 4, "CANC", "RRV:RRV03", "2025-08-27 13:00", "Prof Everard Montacute", CONSULTANT, "Head and neck MDT outcome", """
# Discussed
Head and neck MDT, 27 August 2025. Slides from Ipswich reviewed here: agreed.

# Stage
HPV-positive oropharyngeal carcinoma, left tonsil, T2 N1 M0, stage I (TNM 8). PET-CT 22 August: tonsil and left II, III only.

# Decision
- Radical radiotherapy 65 Gy in 30 fractions to primary and left neck, 54 Gy to the elective volume, intensity-modulated photons. Proton plan compared: benefit below threshold
- No cisplatin (hearing). Cetuximab not advised
- Dental extractions (two) before planning; done in Ipswich
- Speech and language therapy and dietitian before treatment; reactive feeding tube policy

# Key worker
Ms Ariadne Lockhart, clinical nurse specialist. Copy to Ipswich and to the practice.
""", ps="310022001", svc=("20250827", None))

D("P09", 5, "OPL", "RRV:RRV03", "2025-09-10 11:45", "Prof Everard Montacute", CONSULTANT, "Clinical oncology clinic letter", """
Dear Miss Wade,

# Diagnosis
HPV-positive squamous carcinoma, left tonsil, T2 N1 M0.

# Review
I met Mr Saltmarshe and his son. Sockets healed after extraction of two teeth. Weight 70.2 kg. We spoke about six weeks of daily treatment: sore mouth, thick saliva, loss of taste, tiredness; later dry mouth, underactive thyroid, risk to the jaw bone, and a small risk of carotid disease. He has signed consent.

# Plan
- Mask and planning scan 12 September; start 29 September, finish 7 November
- Weekly review with bloods; dietitian weekly
- Ramipril to be held if intake falls
- Benzydamine mouthwash, high-fluoride toothpaste for life
- His swallowing score today (MDADI 78) is the baseline

NOTE: hospital number 1002345 at this trust; the same figures belong to another person at East Suffolk and North Essex. Please always send the NHS number.
""", ps="310022001", svc=("20250910", None))

D("P09", 6, "EOTS", "RRV:RRV03", "2026-02-05 14:30", "Ms Ariadne Lockhart", SPECIALIST_NURSE, "Cancer end of treatment summary", """
# Treatment given
| Treatment | Dates | Detail
| Radiotherapy | 29 September to 7 November 2025 | 65 Gy in 30 fractions, no days missed
| Feeding tube | 24 October 2025 to 9 January 2026 | nasogastric

# Outcome
PET-CT of 2 February 2026, twelve weeks after treatment: complete metabolic response. Examination: no mass, neck soft.

# What may happen later
- Dry mouth, taste slow to return; extractions only after advice (bone)
- Hypothyroidism: TSH every six months, for life. TSH 2.9 in January
- Swallowing: exercises go on; weight 65.8 kg, regaining
- Shoulder stiffness, lymphoedema under the chin: therapist in Ipswich

# Alarm symptoms
New neck lump, pain in ear or throat, bleeding, weight loss: ring Ms Lockhart, same week visit.

# For the GP
- Code: completed cancer treatment; cancer care review by May
- TSH August 2026; high-fluoride toothpaste on repeat
- Follow-up alternate with Ipswich: every two months in year one

# Needs told in the holistic assessment
Low mood in December, better. Misses the sea. Benefits advice given.
""", svc=("20260205", None))

# --- P10: Colchester, bypass surgery at St Bartholomew's

D("P10", 1, "DSUM", "RDE:RDEE4", "2025-12-01 16:10", "Dr Jocasta Flint", CONSULTANT, "Discharge summary: NSTEMI, three-vessel disease", """
# Diagnoses
- Non-ST-elevation myocardial infarction, 29 November 2025
- Three-vessel coronary disease with left main stem 60%
- Type 2 diabetes; hypercholesterolaemia

# Hospital course
Two hours of central chest pressure while laying a hedge. ECG: ST depression V3 to V6. Troponin T 48 then 612 ng/L. Treated with aspirin, fondaparinux and bisoprolol; no P2Y12 inhibitor after angiography because surgery is likely. Angiogram 30 November, right radial: LMS 60%, LAD 80%, OM1 75%, RCA 90%. Pain free since. Heart team at St Bartholomew's accepted her for bypass surgery as an outpatient within eight weeks.

# Discharge medicines
| Medicine | Dose | Status
| Aspirin | 75 mg once daily | new
| Bisoprolol | 2.5 mg once daily | new
| Atorvastatin | 80 mg at night | raised from 20 mg
| Ramipril | 2.5 mg once daily | new
| Metformin | 1 g twice daily | restarted 2 December
| GTN spray | as needed | new

# Allergies
- Elastic adhesive dressings: blistering

# Plan
- Echo and surgical clinic at St Bartholomew's 16 December
- Pain not settled by two GTN sprays: 999. No driving for four weeks
""", ps="789718008", svc=("20251129091500", "20251201161000"), signed=True)

D("P10", 2, "ECG", "RDE:RDEE4", "2025-11-29 09:30", "Dr Jocasta Flint", CONSULTANT, "12-lead electrocardiogram: anterolateral ST depression", """
# Recording
12-lead ECG, 25 mm/s, 10 mm/mV, 09:22, with chest pain 6 of 10.

| Measurement | Value
| Ventricular rate | 88 /min
| PR interval | 164 ms
| QRS duration | 92 ms
| QT / QTc (Bazett) | 372 / 450 ms
| QRS axis | 12 degrees

# Interpretation
Sinus rhythm. Horizontal ST depression of 2 mm V3 to V6, 1 mm I and aVL; ST elevation of 1 mm in aVR. Posterior leads V7 to V9: no elevation. Suggests left main stem or multi-vessel ischaemia. Shown to the cardiology registrar at 09:27.
""", events=("ECG",), svc=("20251129092200", None), extra="trace:88")

D("P10", 3, "ECHO", "R1H:R1HM0", "2025-12-16 10:20", "Mr Ferdinand Acheson", HEALTH_PROFESSIONAL, "Transthoracic echocardiogram before bypass surgery", """
# Indication
NSTEMI 29 November, three-vessel disease, for bypass surgery.

| Measurement | Value
| LV internal diameter, diastole | 5.0 cm
| LV ejection fraction (biplane) | 52%
| E/e' average | 11
| TAPSE | 2.1 cm
| Aortic root | 3.3 cm

# Findings
- LV normal in size; mild hypokinesis of the basal inferior wall; function low normal
- Mitral valve thin, trivial regurgitation. Aortic valve trileaflet, normal
- RV normal. PA pressure not raised. No effusion. Interatrial septum whole

# Conclusion
Low normal LV function with a small inferior wall motion defect. No valve surgery needed.
""", svc=("20251216095000", None), events=("US",))

D("P10", 4, "OPN", "R1H:R1HM0", "2026-01-20 17:00", "Miss Leonie Castellan", CONSULTANT, "Operation note: coronary artery bypass grafts x 3", """
# Operation
Coronary artery bypass grafting x 3, on pump.

# Team
Surgeon Miss L Castellan; assistant Mr R Tewkes; anaesthetist Dr H Amberley; perfusionist Ms D Corrie. WHO checklist done.

# Grafts
| Graft | Target | Quality
| Left internal mammary artery | LAD | 1.75 mm, good flow 48 mL/min
| Saphenous vein | OM1 | 1.5 mm, 55 mL/min
| Saphenous vein | posterior descending | 1.5 mm, 62 mL/min

# Procedure
- Sternotomy; endoscopic vein harvest, left thigh
- Bypass time 84 minutes, cross-clamp 51 minutes, cold blood cardioplegia
- Off bypass in sinus rhythm on noradrenaline 0.04 micrograms/kg/min
- Two mediastinal and one left pleural drain; ventricular pacing wires
- No elastic adhesive dressings used (allergy)

# After operation
- ITU; extubate when warm and dry. Aspirin 6 hours after if drains are below 100 mL/h
- Potassium 4.5 to 5.0; insulin by protocol; wires out day 4
""", ps="310142007", svc=("20260120080000", "20260120130500"))

D("P10", 5, "DSUM", "R1H:R1HM0", "2026-01-28 12:15", "Mr Roland Tewkes", REGISTRAR, "Discharge summary: coronary artery bypass surgery", """
# Diagnoses
- Coronary artery bypass grafts x 3, 20 January 2026
- Post-operative atrial fibrillation, day 3, returned to sinus rhythm
- Type 2 diabetes

# Hospital course
Extubated after five hours, ward on day 2. Atrial fibrillation with a rate of 140 on day 3, treated with amiodarone; sinus rhythm after nine hours. Drains out day 2, wires day 4. Chest radiograph: small left effusion. Wounds dry, sternum stable. Stairs passed. Weight 1.2 kg over baseline.

# Discharge medicines
| Medicine | Dose | Status
| Aspirin | 75 mg once daily | continue
| Clopidogrel | 75 mg once daily for 12 months | NEW
| Bisoprolol | 3.75 mg once daily | raised
| Amiodarone | 200 mg twice daily one week, then once daily, STOP at six weeks | NEW
| Atorvastatin | 40 mg at night while on amiodarone, then 80 mg | lowered
| Furosemide | 40 mg once daily for 7 days | NEW
| Metformin | 1 g twice daily | continue
| Lansoprazole | 30 mg once daily | NEW
| Paracetamol | 1 g four times daily | NEW

Ramipril stopped: systolic 98 to 106. Please restart if above 120.

# Allergies
- Elastic adhesive dressings: blistering

# Plan for the GP
- U&E in one week; thyroid and liver tests at six weeks (amiodarone)
- Leg wound check 2 February

# Plan for the hospital
- Surgical clinic 12 March. Cardiac rehabilitation in Colchester referred. No driving for six weeks; no lifting over 5 kg for twelve.
""", fmt="cda", form="urn:ihe:pcc:xds-ms:2007", ps="310142007", svc=("20260119140000", "20260128121500"), signed=True)

D("P10", 6, "OPL", "R1H:R1HM0", "2026-03-12 14:50", "Miss Leonie Castellan", CONSULTANT, "Cardiac surgery clinic letter", """
Dear colleague,

# Diagnosis
Seven weeks after coronary artery bypass grafts x 3.

# Review
Mrs Windlestraw is delighted: walking two miles with the dog, no angina. Sternum stable and healed. A little numbness over the left thigh. Pulse 62 regular, blood pressure 134/78, chest clear, no oedema. ECG sinus rhythm, QTc 438 ms.

# Changes
- Amiodarone STOPPED today; atorvastatin back to 80 mg
- Ramipril 2.5 mg may be restarted: U&E in two weeks, please
- Aspirin for life, clopidogrel until January 2027

# Plan
May drive. Light hedge work from mid April. Cardiac rehabilitation in Colchester, 4 of 8 sessions done. Discharged to the cardiology clinic in Colchester (Dr Flint) with echo at six months.
""", ps="310142007", svc=("20260312", None))

# --- P11: Oxford and Hammersmith, kidney transplant

D("P11", 1, "OPL", "RTH:RTH08", "2025-07-02 10:00", "Dr Cosmo Wetherell", CONSULTANT, "Renal clinic letter", """
Dear Professor Lindqvist-Hale,

# Diagnoses
- Kidney transplant, living donor (brother), Hammersmith, March 2019
- Autosomal dominant polycystic kidney disease
- Post-transplant hypertension

# Review
Shared-care visit in Oxford, where Mr Fableton lives. Well. Swims weekly. Blood pressure 138/86. Weight 82 kg. Graft not tender.

| Test | March | July | Unit
| Creatinine | 124 | 148 | umol/L
| eGFR | 56 | 46 | mL/min/1.73m2
| Tacrolimus trough | 7.4 | 4.6 | micrograms/L
| Urine protein/creatinine | 12 | 31 | mg/mmol

# Opinion
Creatinine has drifted up with a low tacrolimus level; he missed doses while on tour (he plays the bassoon). BK virus not detected.

# Plan
- Tacrolimus (Adoport) 3 mg twice daily, up from 2.5 mg. Brand not to be switched
- Bloods weekly for four weeks in Oxford, visible to you on the shared record
- Donor-specific antibodies sent. If creatinine passes 170: biopsy at Hammersmith
""", ps="788003006", svc=("20250702", None))

D("P11", 2, "BIOC", "RTH:RTH08", "2026-02-26 13:20", "Dr Benedicta Sorrel", CONSULTANT, "Biochemistry: renal transplant profile", """
| Test | Result | Unit | Range | Flag | LOINC
| Sodium | 139 | mmol/L | 133-146 | | 2951-2
| Potassium | 4.9 | mmol/L | 3.5-5.3 | | 2823-3
| Urea | 9.9 | mmol/L | 2.5-7.8 | H | 22664-7
| Creatinine | 141 | umol/L | 59-104 | H | 14682-9
| Tacrolimus, trough | 8.2 | ug/L | | | 11253-2
| Magnesium | 0.66 | mmol/L | 0.70-1.00 | L | 2601-3

Trough sample, 11.5 hours after dose, as stated on the form. Target 7 to 9 set by Hammersmith. Creatinine 139 on 12 February.
""", fmt="hl7", svc=("20260226083000", None), signed=True, events=("24362-6",))

D("P11", 3, "DSUM", "RYJ:RYJ03", "2025-09-18 15:35", "Dr Sunniva Barley-Osei", REGISTRAR, "Discharge summary: transplant biopsy and rejection treatment", """
# Diagnoses
- Acute T-cell mediated rejection, Banff IB, of kidney transplant
- Steroid-related hyperglycaemia

# Hospital course
Admitted 14 September with creatinine 176. Ultrasound: no obstruction, resistive index 0.74. Biopsy 15 September: 14 glomeruli, t3 i2, no vasculitis, C4d negative, SV40 negative. Donor-specific antibodies negative. Methylprednisolone 500 mg daily for three days. Creatinine 152 at discharge. Glucose up to 15 mmol/L, falling.

# Discharge medicines
| Medicine | Dose | Status
| Tacrolimus (Adoport) | 4 mg twice daily | raised; target 7 to 9
| Mycophenolate mofetil | 750 mg twice daily | raised
| Prednisolone | 20 mg once daily, down by 5 mg each fortnight to 5 mg | raised
| Co-trimoxazole | 480 mg once daily for 3 months | NEW
| Valganciclovir | 450 mg once daily for 3 months | NEW
| Amlodipine | 10 mg once daily | unchanged

# Allergies
- None known

# Plan
- Bloods twice a week, Oxford or Hammersmith: one record for both
- Glucose diary, GP; no live vaccines
- Clinic 25 September
""", ps="788003006", svc=("20250914103000", "20250918153500"), signed=True)

D("P11", 4, "OPL", "RYJ:RYJ03", "2026-02-12 11:15", "Prof Astrid Lindqvist-Hale", CONSULTANT, "Transplant clinic letter", """
Dear Dr Wetherell,

# Diagnosis
Kidney transplant 2019; T-cell mediated rejection September 2025, treated.

# Review
Creatinine settled at 139 umol/L, eGFR 50, protein/creatinine 18. Blood pressure 128/78 at home. CMV and BK not detected. Glucose normal since prednisolone reached 5 mg: HbA1c 40 mmol/mol. He uses a telephone alarm for doses and has missed none.

# Changes
- Valganciclovir and co-trimoxazole finished
- Magnesium 0.64: magnesium aspartate once daily
- Tacrolimus 4 mg twice daily unchanged, target 7 to 9 until September

# Plan
- Monthly bloods in Oxford; next visit there in May, here in August
- Skin check at the dermatology clinic, yearly
""", ps="788003006", svc=("20260212", None))

# --- P12: 111, ambulance, Homerton, home

D("P12", 1, "N111", "ZZ9742", "2026-03-01 06:50", "Ms Calliope Rusk", CLINICIAN, "NHS 111 report", """
# Call
Received 06:21, Sunday 1 March. Caller: patient. Language: English.

# Reason for call
Fever and shaking for 12 hours, pain in the right loin, vomiting. Burning on passing urine since Thursday; three days of trimethoprim from the pharmacy, the last tablet yesterday.

# Answers that mattered
- Shaking so much that she cannot hold a cup: yes
- Passed urine in the last 12 hours: once, dark
- Pregnant: no. Diabetes: no
- New confusion, mottled skin: no
- Alone at home: yes

# Assessment by clinician
Possible sepsis from the kidney. Speaks in full sentences, breathing fast on the telephone, dizzy on standing.

# Disposition
Emergency ambulance, category 2, sent 06:38. Told not to eat; to unlock the door; to call back on 999 if worse.

# Allergies given
- Nitrofurantoin: rash
""", fmt="cda", form="nhs-itk-cda", svc=("20260301062100", "20260301064000"))

D("P12", 2, "AMB", "RRU", "2026-03-01 08:00", "Ms Bryony Falkner", PARAMEDIC, "Ambulance patient summary: suspected urinary sepsis", """
# Incident
Category 2 from NHS 111 at 06:38; on scene 06:57; left 07:20; Homerton 07:34. The 111 report was open on the tablet on the way.

# Findings
Lying on the bathroom floor, alert, shivering. Right renal angle very tender. No rash. Capillary refill 3 seconds.

| Time | Pulse | BP | Resp | SpO2 | Temp | NEWS2
| 07:01 | 124 | 92/54 | 24 | 96% air | 39.3 | 8
| 07:18 | 112 | 101/58 | 22 | 97% air | 39.1 | 7

# Treatment
- Sodium chloride 0.9%: 500 mL
- Paracetamol 1 g intravenously; ondansetron 4 mg
- Pre-alert as red flag sepsis

# Handover
07:41 to the nurse in charge, resuscitation. Allergy nitrofurantoin. Cat needs feeding: neighbour told.
""", svc=("20260301065700", "20260301074100"))

D("P12", 3, "EDR", "RQX:RQXM1", "2026-03-01 10:30", "Dr Lucasta Merrow", CONSULTANT, "Emergency department summary: sepsis from pyelonephritis", """
# Presenting complaint
Sepsis, source urinary. Arrival 07:34 by ambulance.

# Observations on arrival
| Measure | Value
| Pulse | 116 /min
| Blood pressure | 98/56 mmHg
| Respiratory rate | 24 /min
| Temperature | 39.0 C
| SpO2 | 97% on air
| NEWS2 | 7

# Investigations
- Lactate 3.4, after 1.5 L of fluid 1.9 mmol/L
- White cells 21.4, CRP 284, creatinine 134 (baseline 68), platelets 142
- Urine: nitrite and leucocytes strongly positive; pregnancy test negative
- Blood cultures x 2 and urine sent before antibiotics
- CT: right pyelonephritis, no stone, no obstruction, no abscess

# Treatment
- Gentamicin 5 mg/kg and co-amoxiclav 1.2 g at 08:05 (31 minutes after arrival)
- Hartmann's 2 L; paracetamol
- Catheter, hourly urine: 45 mL/h at 10:00

# Allergies
- Nitrofurantoin: rash

# Diagnosis
Sepsis due to right pyelonephritis; acute kidney injury stage 1.

# Disposal
Acute medical unit, Dr A Venables. For full escalation. Partner in Lisbon rung by staff nurse.
""", fmt="cda", form="urn:ihe:pcc:edpn:2007", ps="409971007", svc=("20260301073400", "20260301103000"))

D("P12", 4, "DLET", "RQX:RQXM1", "2026-03-04 13:30", "Dr Aneurin Venables", CONSULTANT, "Inpatient final discharge letter", """
Dear Dr Fenwick-Thorne,

# Diagnoses
- Sepsis with E. coli bacteraemia from right pyelonephritis
- Acute kidney injury stage 1, recovering

# Course
Ms Oddlington came in through 111, ambulance and the emergency department on 1 March. Blood and urine grew E. coli: resistant to trimethoprim and amoxicillin, sensitive to co-amoxiclav, ciprofloxacin and gentamicin. Afebrile from the evening of 2 March. Creatinine 134, 102, 84. Changed to tablets on 3 March.

# Medicines
| Medicine | Dose | Status
| Co-amoxiclav | 625 mg three times daily until 10 March | new
| Paracetamol | 1 g four times daily as needed | new

# Allergies
- Nitrofurantoin: rash

# Please
- See her in FIVE DAYS (9 March): symptoms, temperature, blood pressure, U&E and FBC
- No test-of-cure urine unless symptoms persist
- Third urinary infection in a year: if there is a fourth, refer to urology

She has the sepsis leaflet and knows that tiredness can last for weeks.
""", ps="931781000000102", svc=("20260301103000", "20260304133000"), signed=True)

# --- P13: end of life at home in Kingston

D("P13", 1, "EOLC", "ZZ9601", "2026-01-10 16:30", "Dr Rupert Hazelgrove", GP, "End of life care coordination summary", """
# Main points for urgent care
- LAST YEAR OF LIFE, prognosis weeks to months. Knows and talks about it openly
- DO NOT ATTEMPT CPR (ReSPECT form of 10 January 2026)
- Preferred place of care and of death: HOME. Hospital only for a problem that cannot be made comfortable at home

# Diagnoses
- Metastatic prostate cancer, bone (L2, pelvis, ribs)
- Heart failure, ejection fraction 30%; CKD stage 3b

# Medicines at home for symptoms
| Just in case | Dose | Place
| Morphine sulfate 10 mg/mL | 2.5 mg subcutaneously, hourly as needed | white box, kitchen
| Midazolam 10 mg/2 mL | 2.5 mg subcutaneously, hourly as needed | white box, kitchen
| Levomepromazine 25 mg/mL | 6.25 mg subcutaneously, as needed | white box, kitchen
| Glycopyrronium 200 micrograms/mL | 200 micrograms, 4-hourly | white box, kitchen

# Allergies
- Codeine: confusion

# People
- Wife Elspeth, main carer, holds lasting power of attorney for health
- Palliative nurse line, day and night: 020 7946 0030
- Key safe beside the green door; code with the nurse line

# Watch for
Spinal cord compression: new leg weakness or numbness. He would accept one trip to hospital for a scan and radiotherapy.
""", svc=("20260110", None))

D("P13", 2, "RESP", "RAX:RAX01", "2026-01-10 12:10", "Dr Hermia Coldstream", CONSULTANT, "ReSPECT form", """
# 1. Person
Likes to be called Reg.

# 2. Shared understanding
Prostate cancer spread to bone and a weak heart. Admitted 8 January breathless; better with diuretics. He understands that both illnesses are now near their end.

# 3. What matters most
Comfort above length of life. To hear the wireless and be with Elspeth. Fears: being alone, drowning feeling.

# 4. Recommendations
- Priority: COMFORT
- Not for intensive care, not for NIV. Ward antibiotics only if likely to ease symptoms
- For: diuretics, oxygen if it helps, anticipatory medicines, transfusion only for symptoms
- Admit only for suspected cord compression, fracture, or if comfort cannot be had at home

CPR ATTEMPTS NOT RECOMMENDED. Adult.

# 5. Capacity
Has capacity, took part fully, with his wife.

# 6. Involved
Dr H Coldstream (GMC on file), Sister M Plover, Reg and Elspeth Moonpenny.

# 7. Signed
Dr H Coldstream, 10 January 2026 12:10. Review: on change of condition or place.
""", svc=("20260110", None), signed=True)

D("P13", 3, "PCSP", "ZZ9601", "2026-01-10 17:10", "Sister Mirabel Plover", NURSE, "Personalised care and support plan", """
# About me
I am Reg. I was a signalman for 41 years and I like to know what is happening and when. I am hard of hearing on the left. Tea with two sugars. The wireless stays on.

# What matters to me
- To be at home with Elspeth
- To see the snowdrops
- No fuss

# Support
| Need | Who | When
| Washing and dressing | Kingston carers | morning and evening
| Pain, breathlessness | district nurse | Monday, Thursday, and as called
| Night sitter | hospice at home | Tuesday, Friday
| Bed, commode, pressure mattress | equipment service | in place 11 January

# If I become unwell
Ring the palliative nurse line first. See my coordination summary and my ReSPECT form.
""", fmt="fhir", svc=("20260110", None))

D("P13", 4, "DSUM", "RAX:RAX01", "2026-01-12 14:20", "Dr Hermia Coldstream", CONSULTANT, "Discharge summary: home for end of life care", """
# Diagnoses
- Decompensated heart failure
- Metastatic prostate cancer
- CKD stage 3b

# Hospital course
Admitted 8 January with breathlessness at rest and 6 kg of oedema. Furosemide infusion for three days, 5.1 kg lost. Creatinine 168 to 190, accepted. Pain in the back: no cord signs, MRI whole spine shows stable metastases without compression. Seen by palliative care.

# Discharge medicines
| Medicine | Dose | Status
| Furosemide | 80 mg in the morning, 40 mg at noon | raised
| Morphine modified release | 5 mg twice daily | new
| Morphine oral solution | 2.5 mg as needed | new
| Dexamethasone | 4 mg once daily, review in one week | new
| Senna | 15 mg at night | new
| Bisoprolol | 1.25 mg once daily | lowered
| Just-in-case box | see coordination summary | supplied

STOPPED: statin, ramipril, dapagliflozin, abiraterone.

# Allergies
- Codeine: confusion

# Plan
- District nurse visit this evening. GP visit within two days
- Not for readmission except as on the ReSPECT form
""", svc=("20260108113000", "20260112142000"), ps="700221004", signed=True)

D("P13", 5, "AMB", "RRU", "2026-02-18 03:20", "Mr Lucian Peverell", PARAMEDIC, "Ambulance patient summary: cared for at home", """
# Incident
999 at 01:42 from wife: breathless and frightened. On scene 01:58. The care plan and ReSPECT form were read on the tablet before arrival.

# Findings
Propped up, distressed, talking in phrases. Crackles to mid zones. No pain, legs move well.

| Time | Pulse | BP | Resp | SpO2
| 02:02 | 104 | 102/60 | 30 | 88% air
| 02:40 | 92 | 100/58 | 22 | 90% air

# Treatment
- Sat at the open window with a fan; reassurance
- Palliative nurse line rung 02:08; from the white box morphine 2.5 mg and midazolam 2.5 mg subcutaneously at 02:15, on the written chart
- Extra furosemide 40 mg by mouth on advice

# Outcome
NOT CONVEYED, in line with the plan and the wishes of Mr and Mrs Moonpenny. Settled and dozing at 03:00. District nurse here 03:05. GP told by the plan service.
""", svc=("20260218015800", "20260218031000"))

# --- P14: mental health, detained out of area

D("P14", 1, "MHCP", "RV5", "2025-12-03 11:30", "Ms Guinevere Ashby", NURSE, "Mental health crisis plan", """
# Early signs, in my words
Not sleeping two nights; notes everywhere; turning mirrors round; buying radios.

# What helps
- Speak slowly, one person at a time, say your name
- My sister Miriam can always be rung; she may know everything
- Headphones. A walk. Lorazepam 1 mg once, if I ask

# What does not help
- Being touched from behind. Uniforms at the door without Miriam

# Steps
- 1: care coordinator in the day; crisis line at night 020 7946 0031
- 2: home treatment team daily
- 3: informal admission, Camberwell if possible

# Medicines
- Aripiprazole long-acting injection 400 mg every 4 weeks, last 24 November 2025
- AVOID haloperidol: acute dystonia 2019

# Agreed
Solomon Greywether and Guinevere Ashby, 3 December 2025. Advance wishes apply if I lose capacity.
""", svc=("20251203", None))

D("P14", 2, "CPA", "RV5", "2025-12-03 12:30", "Dr Cassian Morrow", PSYCHIATRIST, "Care Programme Approach care plan", """
# Diagnosis
Schizoaffective disorder, manic type (F25.0).

# Present
Dr C Morrow, Ms G Ashby (care coordinator), Mr Greywether, sister.

# Review
Stable for 14 months on injection. Back at work three days a week in a record shop. Some afternoon tiredness. Waist 96 cm, HbA1c 37, lipids normal, prolactin normal, ECG QTc 412 ms (October). Stopped cannabis in 2024.

# Plan
| Need | Action | Who
| Medicine | aripiprazole LAI 400 mg every 4 weeks | depot clinic
| Work | 16 hours, review in March | employment adviser
| Physical health | yearly check done October | practice
| Crisis | see crisis plan of today | all
| Housing | tenancy secure; letter for repairs | coordinator

Next review June 2026. Section 117 aftercare: applies (section 3, 2019).
""", svc=("20251203", None))

D("P14", 3, "RISK", "RV5", "2025-12-03 13:00", "Ms Guinevere Ashby", NURSE, "Clinical risk assessment", """
# Summary
Low while well. Rises quickly over two to four days in relapse.

| Domain | Now | In relapse | History
| Self-harm | low | low | none
| To others | low | moderate: frightened | pushed a guard, 2019, no injury
| Self-neglect, spending | low | high | debts of 2019 cleared
| Absconding | low | high | left a ward 2019, found at Stratford
| Exploitation by others | low | moderate | lent flat keys, 2019

# Protective
Sister, work, insight while well, good trust in the team.

# Formulation
Relapse follows missed injections and lost sleep, and often takes him to east London, where he grew up. Teams there should read the crisis plan.

# Management
Injection late by 7 days: visit. By 14 days: home treatment team.
""", svc=("20251203", None))

D("P14", 4, "MHA", "RWK", "2026-02-07 23:10", "Dr Ptolemy Ferrars", PSYCHIATRIST, "Mental Health Act notice: detention under section 2", """
# Notice
Detained under section 2 of the Mental Health Act 1983 from 21:40 on 7 February 2026, for up to 28 days, at an inpatient unit of East London NHS Foundation Trust.

# Circumstances
Found at Stratford station addressing departures, awake three nights, first brought by police under section 136 at 15:20. Assessed by Dr P Ferrars (section 12) and Dr N Halloway, with Ms O Tindall, approved mental health professional.

# Reasons
Elated, pressured, believes trains carry messages for him; no insight; would leave. Injection of 19 January missed. Home treatment out of area not workable tonight.

# Told
Patient given rights, orally and in writing (section 132): to be repeated. Nearest relative: sister, told by telephone 22:15. Care coordinator in South East London told by message. Crisis plan of 3 December read on the shared record: haloperidol avoided.
""", svc=("20260207214000", None), signed=True)

D("P14", 5, "DSUM", "RWK", "2026-02-25 14:45", "Dr Ptolemy Ferrars", PSYCHIATRIST, "Mental health inpatient discharge summary", """
# Diagnoses
- Schizoaffective disorder, manic episode, resolved (F25.0)

# Hospital course
Detained under section 2 on 7 February; made informal on 20 February. Relapse after a missed injection. Olanzapine 10 mg at night and lorazepam for five days; aripiprazole injection 400 mg given 10 February with oral cover for 14 days. Haloperidol avoided. Slept six hours from 12 February. Two days' leave with sister went well. Drug screen negative. QTc 418 ms.

# Risk at discharge
Low. No harm to self or others this admission.

# Discharge medicines
| Medicine | Dose | Status
| Aripiprazole long-acting injection | 400 mg every 4 weeks, NEXT DUE 10 March | continue
| Olanzapine | 5 mg at night for 7 days, then stop | short course

# Allergies and adverse reactions
- Haloperidol: acute dystonia

# Plan
- 72-hour follow-up by the home team in Camberwell: 27 February 10:00, arranged
- Depot clinic to ring if missed by one day (new)
- Section 117 meeting 4 March, by video with both teams
""", ps="788002001", ft="62480006", conf="R", svc=("20260207214000", "20260225144500"), signed=True)

# --- P15: frailty in Islington: hospital, council, community nursing

D("P15", 1, "DSUM", "RKE:RKEQ4", "2026-02-27 13:55", "Dr Euphemia Tarrant", CONSULTANT, "Discharge summary: fall and delirium in frailty", """
# Diagnoses
- Fall with long lie; no fracture
- Delirium from urinary infection, resolving
- Rhabdomyolysis, mild (CK 2,140), recovered
- Frailty, Clinical Frailty Scale 6; osteoporosis; hypertension

# Hospital course
Found by a neighbour on 19 February after a night on the floor. CT head and hip films: no injury. 4AT 8 on arrival, 2 at discharge. E. coli in urine, seven days of cefalexin. Creatinine 142 to 88. Lying 148/78, standing 116/64: amlodipine stopped. Walks with a frame and one person. MoCA deferred for six weeks.

# Discharge medicines
| Medicine | Dose | Status
| Alendronic acid | 70 mg weekly (Sunday) | continue
| Calcium carbonate/colecalciferol | 1.5 g/400 units twice daily | continue
| Paracetamol | 500 mg four times daily (weight 43 kg) | lowered
| Amlodipine | | STOPPED: postural drop
| Amitriptyline | | STOPPED: confusion, falls

# Allergies
- Tramadol: hallucinations

# Plan
- Reablement four visits a day; council assessment at home 2 March
- District nurse: heel, grade 2 pressure damage
- GP: lying and standing blood pressure in two weeks
- Memory clinic if not back to herself at six weeks
""", ps="700221004", svc=("20260219091000", "20260227135500"), signed=True)

D("P15", 2, "NEWS", "RKE:RKEQ4", "2026-02-26 22:10", "Staff Nurse Barnabus Oke", NURSE, "NEWS2 chart, last 48 hours", """
# NEWS2
SpO2 scale 1.

| Time | Resp | SpO2 | O2 | BP | Pulse | ACVPU | Temp | Score
| 25 Feb 06:00 | 18 | 95 | air | 138/74 | 84 | A | 36.6 | 1
| 25 Feb 12:00 | 18 | 96 | air | 142/76 | 80 | A | 36.8 | 0
| 25 Feb 18:00 | 20 | 95 | air | 134/70 | 92 | C | 37.2 | 5
| 25 Feb 22:00 | 18 | 96 | air | 136/72 | 82 | A | 36.9 | 0
| 26 Feb 06:00 | 17 | 96 | air | 140/78 | 76 | A | 36.4 | 0
| 26 Feb 12:00 | 18 | 97 | air | 144/76 | 78 | A | 36.5 | 0
| 26 Feb 18:00 | 18 | 96 | air | 138/74 | 80 | A | 36.6 | 0
| 26 Feb 22:00 | 16 | 96 | air | 136/70 | 74 | A | 36.5 | 0

# Escalations
25 February 18:00, score 5 (new confusion 3, pulse 1, SpO2 1): doctor reviewed 18:20, bladder scan 420 mL, passed 380 mL on commode, settled.
""", ps="700221004", svc=("20260225060000", "20260226220000"))

D("P15", 3, "HDSC", "RKE:RKEQ4", "2026-02-27 10:40", "Ms Saffron Tillotson", HEALTH_PROFESSIONAL, "Hospital discharge notification to social care", """
# Notification
Discharge notice to Islington Example Council, pathway 1 (home with support). Ready for discharge 27 February 2026. Patient agrees and has capacity for this decision.

# Support needed
| Need | Detail
| Visits | four a day, one carer, from 27 February 17:00
| Moving | frame and one person; stairs not assessed, lives on ground floor
| Food and drink | prompts; weight 43 kg, MUST 2
| Medicines | blister pack, prompt
| Equipment | commode, raised chair, falls pendant: delivered 26 February

# People
Neighbour has a key. Nephew in Leeds, next of kin, told.
""", fmt="fhir", svc=("20260227", None), ps="892601000000108")

D("P15", 4, "SCA", "ZZ9812", "2026-03-02 16:00", "Ms Rosamund Tickell", SOCIAL_WORKER, "Care Act needs assessment", """
# Assessment
At home, 2 March 2026, with Mrs Butterwick and her neighbour. Interpreter not needed. Advocate offered, declined.

# Her view
"I want my own kettle and my own door." She wishes to stay at home and go back to the Thursday lunch club.

# Outcomes (Care Act 2014)
| Outcome | Can she | Effect
| Nutrition | not without help | weight loss 5 kg in six months
| Washing, toilet | with one person | night-time accidents
| Dressing | with help |
| Safe use of home | not fully | loose rugs, gas hob left on once
| Relationships | at risk | club missed since January

# Money and control
Manages pension; nephew pays bills on line. A man came twice offering roof repairs, given 400 pounds in January: neighbour now answers the door. Trading standards told with her consent. No safeguarding threshold met.

# Eligible
YES. Indicative 14 hours a week.
""", svc=("20260302140000", "20260302160000"), ft="310205006")

D("P15", 5, "SCP", "ZZ9812", "2026-03-10 12:00", "Ms Rosamund Tickell", SOCIAL_WORKER, "Care and support plan", """
# Goals
- Stay in her own home
- Back to the lunch club by April
- Gain 2 kg

# Plan from 16 March 2026
| When | What | Minutes
| Morning | wash, dress, breakfast, blister pack | 45
| Midday | meal, drink, walk in the hall | 30
| Teatime | meal, commode | 30
| Bedtime | wash, pendant on, lock door | 30
| Thursday | lunch club, transport booked |

# Also
Induction hob and rugs removed 6 March. Pendant with falls sensor. Door camera shared with nephew. Free prescription delivery.

# Review
Six weeks: 27 April 2026. Contact: council access team.
""", svc=("20260310", None))

D("P15", 6, "CNR", "RKE", "2026-03-12 10:30", "Sister Beulah Marchant", COMMUNITY_NURSE, "District nurse visit", """
# Visit
Weekly visit at home. Consent given.

# Wound
Right heel, grade 2 pressure damage: 14 x 9 mm (2 March: 22 x 15 mm). Granulating, no slough, little exudate, no infection. Foam dressing, heel offloading boot at night.

# Observations
| Measure | Value
| Blood pressure lying / standing | 136/74 / 128/70 mmHg
| Pulse | 76 /min
| Weight | 43.8 kg
| Waterlow | 18

# Notes
Brighter. Orientated to day and month. Eats better with company. Carers prompt well; blister pack right.

# Plan
- Dressing twice weekly, measure weekly
- Postural drop better since amlodipine was stopped: GP told
- Supplement drinks twice daily, dietitian aware
""", fmt="txt", svc=("20260312100000", "20260312103000"), ft="310205006")

D("P15", 7, "CCP", "RKE", "2026-03-12 11:15", "Sister Beulah Marchant", COMMUNITY_NURSE, "Community care plan", """
# Problems and goals
| Problem | Goal | Action | Review
| Heel pressure damage | healed by May | foam dressing, offloading | weekly
| Falls | none for three months | strength and balance, home twice weekly | 6 weeks
| Weight loss | 45 kg | supplements, lunch club | monthly
| After delirium | back to herself | memory screen 10 April | 6 weeks
| Continence | dry at night | fluids before 18:00, commode at bed | 4 weeks

# Team
District nurse, physiotherapist, dietitian, council carers. One plan, read also by the council on the shared record.

# If worse
New confusion: urine, bowels, chest, medicines; rapid response team within two hours, before 999 unless injured.
""", svc=("20260312", None))

# --- P16: a child; the safeguarding document is for few eyes

D("P16", 1, "SAFC", "ZZ9814", "2026-01-17 15:45", "Mr Leander Pike", SOCIAL_WORKER, "Child safeguarding report: strategy discussion", """
# Strategy discussion
Held 16 January 2026: children's social care, police, paediatrics, school.

# Concern
Bruises on 15 January not explained by the account given. Felix told the emergency nurse that a visitor to the home had grabbed him. Details are in the medical report held by the paediatric team.

# Decisions
- Section 47 enquiry, joint with police; visitor not to be in the home; parents agree in writing
- Felix stays at home with mother, seen daily until conference
- Skeletal survey not indicated at this age; medical done with consent
- School: named teacher to check in each morning

# Conference
Initial child protection conference by 6 February 2026.

# Sharing
VERY RESTRICTED. Staff who need to know only. Do not discuss with callers. Do not show in online access.
""", svc=("20260116", None))

D("P16", 2, "EDR", "RJ2:RJ224", "2026-01-15 21:20", "Dr Philippa Rooksby", CONSULTANT, "Emergency department summary: injury to arm", """
# Presenting complaint
Painful right upper arm. Brought by mother at 18:05, said to have slipped in the bath the evening before.

# Findings
- Right upper arm tender, full movement
- Bruises on upper arm and behind the right ear, recorded on a body map
- Otherwise well grown, alert, kept close to the nurse

# Investigations
Radiographs right humerus and elbow: no fracture. FBC and clotting normal.

# Diagnosis
Soft-tissue injury, right upper arm.

# Disposal
Seen by the paediatric consultant. Hospital policy for injuries to children followed. Home with mother 20:55 after a plan was agreed. Paracetamol 480 mg as needed. Review in the children's clinic 19 January.
""", conf="R", ps="310066004", svc=("20260115180500", "20260115205500"))

D("P16", 3, "HVR", "RJ2", "2017-06-01 11:00", "Ms Annis Fairweather", COMMUNITY_NURSE, "Health visitor report, 20 months (scanned)", """
REVIEW AT 20 MONTHS, HOME VISIT

Felix was seen with his mother. He walks well, climbs,
and builds a tower of five bricks. About thirty words,
joins two. Points to nose, eyes, shoes. Eats with a
spoon. Sleeps through.

Weight 11.2 kg (50th). Height 84 cm (50th).
Immunisations up to date. Teeth: brushing begun.

Mother has gone back to work three days a week.
Grandmother helps. Library card given.

No concerns. Next contact: two-year review at clinic.
""", fmt="tiff", svc=("20170601", None), ft="310205006")

D("P16", 4, "IMM", "ZZ9914", "2020-09-10 16:10", "Sister Dympna Rowe", NURSE, "Immunisation record", """
# Immunisations given
| Vaccine | Date | Dose
| 6-in-1 / 5-in-1 | 9 November 2015 | first
| MenB, rotavirus, PCV | 9 November 2015 | first
| 5-in-1, rotavirus | 7 December 2015 | second
| 5-in-1, MenB, PCV | 4 January 2016 | third
| Hib/MenC, MMR, PCV, MenB | 16 September 2016 | 12 months
| 4-in-1 preschool, MMR | 24 September 2019 | booster, second
| Influenza, nasal | 10 September 2020 | annual

# Note
Up to date for age. No reactions. Next: influenza each autumn at school.
""", svc=("20200910", None), events=("33879002",))

# --- P17: restricted on the national register: nothing here tells where she lives

D("P17", 2, "DSUM", "RAL:RAL26", "2025-09-30 12:25", "Dr Fitzwilliam Ore", CONSULTANT, "Discharge summary: acute severe asthma", """
# Diagnoses
- Acute severe asthma, rhinovirus
- Previous intensive care admission for asthma (2016)

# Hospital course
Peak flow 34% of best on arrival, unable to complete sentences. Back-to-back salbutamol and ipratropium, prednisolone 40 mg, magnesium 2 g. Normal pCO2 4.6 kPa. Watched in high care for 12 hours. Peak flow at discharge 82% of best (420 L/min), variation 14%.

# Discharge medicines
| Medicine | Dose | Status
| Prednisolone | 40 mg once daily, until 3 October | short course
| Budesonide/formoterol 200/6 | two puffs twice daily and as needed (MART) | changed
| Montelukast | 10 mg at night | continue

# Allergies
- Aspirin and NSAIDs: bronchospasm

# Plan
- Seen within 48 hours by her own practice: appointment made by the patient herself
- Asthma clinic four weeks

# Contact
This record is restricted. No address, telephone or practice is to be printed, read out or left in a message. Results by the secure portal only.
""", ps="816074000", conf="R", svc=("20250928033000", "20250930122500"), signed=True)

D("P17", 3, "OPL", "RAL:RAL01", "2025-11-20 16:15", "Dr Henrietta Solway", CONSULTANT, "Severe asthma clinic letter", """
Dear colleague,

# Diagnoses
- Severe eosinophilic asthma; two courses of prednisolone this year
- Aspirin-exacerbated respiratory disease, nasal polyps

# Review
Better since September. Asthma control score 17 of 25. FEV1 2.31 L (78%), FeNO 64 ppb, eosinophils 0.62. Technique good, collects every prescription.

# Plan
- Discussed at the biologics MDT: meets criteria for mepolizumab on one more exacerbation
- Nasal steroid drops; ENT referral
- Written action plan renewed. Emergency steroids at home

# Contact
RESTRICTED RECORD. Letter handed to the patient. No copy posted.
""", ps="816074000", conf="R", svc=("20251120", None))

# --- P18 and P19: one man, two NHS numbers; the older document lies under the older number

D("P18", 1, "OPL", "RYJ:RYJ01", "2019-04-11 14:00", "Dr Ursula Penhaligon", CONSULTANT, "Gastroenterology clinic letter (scanned)", """
GASTROENTEROLOGY CLINIC, 11 APRIL 2019

Dear Doctor,

DIAGNOSIS: Change of bowel habit, colonoscopy normal
apart from sigmoid diverticula.

I reviewed Mr Tanglewick, 47. His loose stools settled
when he stopped taking a herbal "detox" tea. Weight
steady, no bleeding. Colonoscopy on 28 March reached
the caecum: diverticula in the sigmoid, no polyps,
biopsies normal. Calprotectin 31. Coeliac screen
negative. Haemoglobin 148.

PLAN: fibre, fluids, no follow-up. Colonoscopy again
only for new symptoms.

ALLERGY: IODINE CONTRAST, urticaria (2017).

Yours sincerely,
Dr U Penhaligon
""", fmt="jpeg", ps="700433006", svc=("20190411", None))

D("P19", 1, "DSUM", "RYJ:RYJ01", "2025-05-19 15:10", "Miss Octavia Redgrave", CONSULTANT, "Discharge summary: acute diverticulitis", """
# Diagnoses
- Acute sigmoid diverticulitis, Hinchey Ia, uncomplicated

# Hospital course
Three days of left iliac fossa pain and fever 38.2. CRP 142, white cells 14.8. MRI abdomen in place of contrast CT: urticaria with iodine contrast is written in a 2019 letter filed under his earlier NHS number and found through the merged record. Inflamed sigmoid, small phlegmon, no abscess. Intravenous then oral antibiotics. Eating, pain free, CRP 48.

# Discharge medicines
| Medicine | Dose | Status
| Co-amoxiclav | 625 mg three times daily until 23 May | new
| Paracetamol | 1 g four times daily as needed | new

# Allergies
- Iodine contrast: urticaria (2017)

# Plan
- CRP and FBC in two weeks (St George's, near his work)
- Colonoscopy in six to eight weeks
- Return for worsening pain, fever, or not passing wind
""", ps="310156009", svc=("20250516101500", "20250519151000"), signed=True)

D("P19", 2, "LAB", "RJ7:RJ701", "2025-06-02 12:40", "Dr Zenobia Carrow", CONSULTANT, "Laboratory report: FBC and CRP", """
# Results
| Test | Result | Unit | Range | Flag
| Haemoglobin | 144 | g/L | 130-170 | 
| White cells | 7.1 | 10*9/L | 4.0-11.0 | 
| Neutrophils | 4.2 | 10*9/L | 2.0-7.5 | 
| Platelets | 318 | 10*9/L | 150-400 | 
| C-reactive protein | 6 | mg/L | 0-5 | H

# Comment
Two weeks after diverticulitis. CRP nearly normal (142 on 16 May, Imperial).
""", fmt="cda", form="urn:ihe:lab:xd-lab:2008", svc=("20250602081500", None), signed=True, events=("58410-2",))

# --- P20: died on 12 January 2026

D("P20", 1, "EOLC", "ZZ9601", "2025-10-01 12:00", "Dr Rupert Hazelgrove", GP, "End of life care coordination summary", """
# Main points for urgent care
- Frail, last year of life. Has capacity
- DO NOT ATTEMPT CPR
- Preferred place of care: home; if not possible, St George's, where her niece works

# Diagnoses
- Severe aortic stenosis, not for intervention
- Vascular dementia, mild; osteoarthritis

# Treatment wishes
Oral antibiotics, fluids and oxygen for comfort: yes. Hospital for a fracture or for distress: yes. Intensive care, tube feeding: no.

# Medicines and allergies
- Furosemide 20 mg, paracetamol 1 g three times daily, donepezil 5 mg
- Erythromycin: vomiting

# People
- Niece, Araminta Candlewright: lasting power of attorney
- Carers twice daily. District nurse weekly
""", svc=("20251001", None))

D("P20", 2, "DSUM", "RJ7:RJ701", "2026-01-12 20:15", "Dr Tarquin Osgood", CONSULTANT, "Discharge summary: death in hospital", """
# Outcome
DIED 12 January 2026 at 17:52, peacefully, niece present.

# Diagnoses
- Bilateral bronchopneumonia
- Severe aortic stenosis
- Vascular dementia; frailty (CFS 8)

# Hospital course
Admitted 10 January, drowsy, saturation 82%, after four days of cough. Care plan read on the shared record at the door: comfort first, oral antibiotics acceptable, no intensive care. Doxycycline and oxygen for a day without benefit; on 11 January, with her niece, changed to comfort care. Morphine 5 mg and midazolam 5 mg over 24 hours by syringe driver. No distress.

# After death
- Medical examiner agreed; certificate 1a bronchopneumonia, 1b frailty of old age, 2 aortic stenosis
- Not referred to the coroner
- GP, district nurses and care agency told on 12 January: please cancel all visits and appointments
- Bereavement service contact given to her niece
""", svc=("20260110144000", "20260112175200"), ps="700221004", signed=True)

D("P20", 3, "DEATH", "RJ7:RJ701", "2026-01-13 10:30", "Mr Ezekiel Warne", CLERK, "Death notification document", """
# Notification
| Item | Value
| Date and time of death | 12 January 2026, 17:52
| Place | St George's Hospital, Tooting
| Verified by | Dr T Osgood
| Medical examiner | scrutiny complete 13 January 2026
| Certificate | issued 13 January 2026
| Coroner | not referred
| Death status | 2, formal

# Sent to
Registered practice; pan-London care plan service (plan to be closed); community nursing; pharmacy; appointments office. Record access from now on needs a reason.
""", svc=("20260112175200", None))

# --- P21: objects to sharing

D("P21", 2, "OPL", "RJ2:RJ231", "2025-03-03 11:25", "Dr Araby Thorncroft", CONSULTANT, "Diabetes clinic letter", """
Dear Dr Thistledown,

# Diagnoses
- Type 1 diabetes since 1989; background retinopathy; no nephropathy
- Hypoglycaemia unawareness, partial

# Review
HbA1c 61 mmol/mol. Time in range 58%, below range 5%. Two lows overnight, one needing help from his wife. Albumin/creatinine 1.4. Feet: pulses and sensation normal. Blood pressure 128/76.

# Plan
- Hybrid closed loop pump approved; start 12 May
- Basal insulin down 10% at night until then. Glucagon kit renewed
- Must not drive until awareness returns; told
- He asked who can see this letter and was given the leaflet on sharing and objections
""", ps="963151000000104", svc=("20250303", None))

D("P21", 3, "DSUM", "RJ2:RJ231", "2025-08-19 16:50", "Dr Walburga Finch", REGISTRAR, "Discharge summary: diabetic ketoacidosis, pump failure", """
# Diagnoses
- Diabetic ketoacidosis, mild, from a blocked infusion set
- Type 1 diabetes on hybrid closed loop

# Hospital course
Admitted 17 August: ketones 4.8, pH 7.24, glucose 19.2. Fixed-rate insulin 0.1 units/kg/h and fluids; resolved in 11 hours. Potassium kept above 4. Pump restarted with a new set after supper, overlap of 60 minutes. Cause: kinked cannula after gardening.

# Discharge medicines
| Medicine | Dose | Status
| Insulin aspart by pump | automated, settings unchanged | continue
| Insulin degludec pen | 16 units, only if pump fails | new
| Glucagon | 1 mg as needed | continue

# Plan
- Change the set every two days; ketones if glucose is above 14 for two hours
- Pump clinic two weeks
- Has told us that he will object to sharing outside South East London; practice informed
""", ps="963151000000104", svc=("20250817040000", "20250819165000"), signed=True)

D("P21", 4, "CONS", "ZZ9914", "2025-09-01 09:30", "Dr Amara Thistledown", GP, "Sharing preference: objection upheld", """
# Preference
Mr Silverthreadle objects to his record being shown to any organisation outside the South East London community for direct care (individual rights objection, UK GDPR article 21). Considered and UPHELD on 1 September 2025.

# Effect
- Nothing leaves South East London
- Break-glass in an emergency: only if local policy allows, with a reason and an alert
- Within South East London: no change

# Risks explained
Type 1 diabetes with ketoacidosis in August: others may not know his insulin or history. He wears a medical bracelet. He may change his mind at any time.
""", fmt="cda", form="urn:ihe:iti:bppc:2007", svc=("20250901", None))

# --- P22: overseas visitor with only a Barts number

D("P22", 1, "EDR", "R1H:R1H12", "2026-03-20 19:40", "Dr Cyprian Lodge", REGISTRAR, "Emergency department summary: falciparum malaria", """
# Presenting complaint
Visitor to London, landed 17 March from Abuja. Four days of fever, headache and rigors. No prophylaxis. No NHS number; passport checked. Barts number only: do not match on name.

# Observations
| Measure | Value
| Temperature | 39.7 C
| Pulse | 118 /min
| Blood pressure | 106/62 mmHg
| Respiratory rate | 20 /min
| SpO2 | 98% on air
| GCS | 15

# Investigations
Malaria film: Plasmodium falciparum 1.2%. Haemoglobin 108, platelets 61, creatinine 88, bilirubin 34, glucose 5.2, lactate 1.8. Pregnancy test negative. Chest radiograph clear. HIV test accepted, not detected.

# Assessment
Uncomplicated falciparum malaria: below 2%, no severity signs. Vomited once.

# Treatment
Artemether/lumefantrine 80/480 mg, first dose 17:50, kept down. Paracetamol.

# Disposal
Infectious diseases ward for at least 24 hours; film daily. Treatment of malaria is free of charge for overseas visitors. Notified to UKHSA.
""", ps="409971007", svc=("20260320152000", "20260320194000"))

D("P22", 2, "LAB", "R1H:R1H12", "2026-03-20 17:20", "Dr Malachy Brand", CONSULTANT, "Laboratory report: malaria film and FBC", """
| Test | Result | Unit | Range | Flag | LOINC
| Malaria film | Plasmodium falciparum, trophozoites | | not seen | A | 32700-7
| Parasitaemia | 1.2 | % | | A |
| Haemoglobin | 108 | g/L | 115-165 | L | 718-7
| White cells | 4.1 | 10*9/L | 4.0-11.0 | | 6690-2
| Platelets | 61 | 10*9/L | 150-400 | L | 777-3

TELEPHONED to emergency department registrar 16:38. Repeat film in 24 hours. Reference laboratory confirmation to follow.
""", fmt="hl7", ps="708196005", svc=("20260320155500", None), signed=True, events=("58410-2",))

# --- P23 and P24: twins; to take one for the other would harm

D("P23", 1, "OPL", "RDE:RDEE4", "2025-10-06 10:40", "Dr Vesper Ullathorne", CONSULTANT, "Neurology clinic letter", """
Dear Dr Sallow,

IDENTITY: JASPER, not his twin CASPER. Check the NHS number.

# Diagnosis
Juvenile myoclonic epilepsy.

# Review
Two generalised seizures since May, both after night shifts. Morning jerks most days. Takes levetiracetam 1 g twice daily; low mood on it. No drug allergies.

# Plan
- Change to lamotrigine slowly, target 100 mg twice daily; then reduce levetiracetam
- Sodium valproate not chosen: under 55, the two-specialist rule applies; discussed
- Sleep, alcohol. Not driving until 12 months free
- Second opinion and video-EEG at UCLH
""", ps="788005004", svc=("20251006", None))

D("P23", 2, "OPL", "RRV:RRV03", "2026-01-22 15:00", "Dr Ignatius Merriweather", CONSULTANT, "Epilepsy clinic letter, UCLH", """
Dear Dr Ullathorne,

# Diagnosis
Juvenile myoclonic epilepsy, confirmed on video-EEG 14 January: 4 to 6 Hz polyspike and wave, photosensitive.

# Review
Mr Jasper Hollowell-Pyne brought his seizure diary. One convulsion since October. Lamotrigine 75 mg twice daily, levetiracetam 500 mg twice daily. Mood better (PHQ-9 of 6). No rash.

# Plan
- Lamotrigine to 100 mg twice daily, levetiracetam to stop over four weeks
- Photosensitivity advice: blue-tinted glasses, screens
- He carries a card with a photograph: he has an identical twin with a severe peanut allergy; records have been mixed once before
- Hospital number here 3711537
""", ps="788005004", svc=("20260122", None))

D("P24", 1, "OPL", "RDE:RDEE4", "2025-10-07 11:20", "Dr Prosper Lyle", CONSULTANT, "Allergy clinic letter", """
Dear Dr Sallow,

IDENTITY: CASPER, not his twin JASPER. Check the NHS number.

# Diagnosis
- PEANUT: ANAPHYLAXIS (August 2025, adrenaline twice, Colchester)
- Mild asthma; hay fever

# Tests
| Test | Result
| Skin prick, peanut | 11 mm
| Ara h 2 IgE | 18.4 kUA/L
| Skin prick, almond, cashew, hazelnut | negative

# Plan
- Adrenaline auto-injectors 300 micrograms, two to be carried always; trained today
- Strict avoidance of peanut; tree nuts allowed, whole and at home
- Asthma: budesonide/formoterol 200/6 as needed
- No epilepsy, no antiseizure medicines: an entry to that effect belongs to his brother and has been corrected
""", svc=("20251007", None))

# --- P25: dialysis

D("P25", 1, "DSUM", "RYJ:RYJ03", "2025-01-15 16:00", "Dr Magnus Whitlow", REGISTRAR, "Discharge summary: line sepsis on haemodialysis", """
# Diagnoses
- Staphylococcus aureus bacteraemia from a tunnelled dialysis line
- End-stage kidney disease (IgA nephropathy), haemodialysis Monday, Wednesday, Friday
- Heparin-induced thrombocytopenia (2021): NO HEPARIN

# Hospital course
Rigors on dialysis 3 January. Line removed 4 January, MSSA sensitive to flucloxacillin. Cultures clear 6 January. Transoesophageal echo: no vegetation. New line right internal jugular 8 January. Dialysis heparin free with citrate lock.

# Discharge medicines
| Medicine | Dose | Status
| Cefazolin | 2 g after each dialysis until 20 January | new
| Alfacalcidol | 0.25 micrograms three times weekly | continue
| Sevelamer | 1.6 g three times daily with food | continue
| Darbepoetin | 40 micrograms weekly on dialysis | continue

# Allergies
- HEPARIN: heparin-induced thrombocytopenia

# Plan
- Vascular access clinic, Royal Free: fistula
- Dry weight 61.5 kg
""", ps="788003006", svc=("20250103170000", "20250115160000"), signed=True)

D("P25", 2, "OPL", "RAL:RAL01", "2025-05-05 10:00", "Mr Gervase Northcote", CONSULTANT, "Vascular access clinic letter (scanned)", "",
  fmt="scan", ps="788003006", svc=("20250505", None))

D("P25", 3, "BIOC", "RJ7:RJ701", "2025-08-08 18:10", "Dr Zenobia Carrow", CONSULTANT, "Biochemistry: pre-dialysis profile, holiday dialysis", """
| Test | Result | Unit | Range | Flag | LOINC
| Sodium | 137 | mmol/L | 133-146 | | 2951-2
| Potassium | 5.6 | mmol/L | 3.5-5.3 | H | 2823-3
| Urea | 24.1 | mmol/L | 2.5-7.8 | H | 22664-7
| Creatinine | 702 | umol/L | 45-84 | H | 14682-9
| Adjusted calcium | 2.31 | mmol/L | 2.20-2.60 | | 29265-6
| Phosphate | 1.71 | mmol/L | 0.80-1.50 | H | 14879-1

Sample before dialysis at the Tooting unit while staying with family. NO HEPARIN.
""", fmt="hl7", svc=("20250808130000", None), signed=True, events=("24362-6",))

# --- P26: one letter in every community

D("P26", 1, "CLET", "ZZ9601", "2026-01-01 10:00", "Sister Mirabel Plover", NURSE, "Care plan service: first contact", """
Dear colleague,

Mr Everywhither, 45, walks the length of the country mending clocks and has no fixed home. He asked on New Year's Day for one plan that every service can read.

# Plan in short
- Type 2 diabetes, hypertension, foot deformity. Allergy: SULFONAMIDES, rash
- Contact by message to his mobile; letters to the nearest practice
- Wants full treatment. Next of kin: none named

# Please
Add what you do to the shared record; this letter is the index.
""", ps="413294000", ft="257622000", svc=("20260101", None))
D("P26", 2, "CLET", "RF4:RF4QH", "2026-01-02 11:00", "Dr Orson Heddle", REGISTRAR, "Ambulatory care letter: cellulitis", """
Dear colleague,

# Diagnosis
Cellulitis of the left shin, 9 x 6 cm, no systemic upset.

# Treatment
Flucloxacillin 500 mg four times daily for 7 days. Outline drawn. HbA1c sent. Sulfonamide allergy noted.

# Plan
Any service: look at the outline on 4 January; if beyond it or fever, intravenous treatment.
""", ps="931781000000102", svc=("20260102", None))
D("P26", 3, "CLET", "RRV:RRV03", "2026-01-03 15:20", "Dr Idris Fallowfield", CLINICIAN, "Inclusion health team letter", """
Dear colleague,

Seen by the inclusion health team at University College Hospital.

# Findings
Shin redness within the outline drawn at Queen's. Capillary glucose 11.8. Blood pressure 158/92. Chest radiograph by the mobile van: clear. Hepatitis B vaccine, first dose.

# Plan
Ramipril 2.5 mg started. Second vaccine dose due 3 February, anywhere. Hostel declined; sleeping bag and phone credit given.
""", ps="931781000000102", svc=("20260103", None))
D("P26", 4, "CLET", "RYJ:RYJ01", "2026-01-04 09:45", "Dr Nerissa Coombe", CONSULTANT, "Diabetic foot clinic letter", """
Dear colleague,

# Findings
Neuropathy both feet to the ankle (10 g monofilament 2 of 10), pulses strong. Callus under right first metatarsal head, no ulcer. Cellulitis improving. HbA1c 71 mmol/mol (taken at Queen's, seen on the shared record).

# Risk
HIGH risk foot.

# Plan
Insoles made today. Callus pared. Metformin 500 mg twice daily. Podiatry every 8 weeks wherever he is.
""", ps="963151000000104", svc=("20260104", None))
D("P26", 5, "CLET", "RJ2:RJ224", "2026-01-05 14:30", "Dr Ottoline Sheaf", REGISTRAR, "Eye screening letter", """
Dear colleague,

# Result
Diabetic eye screening at Lewisham: right R1 M0, left R1 M0. Background changes only. Visual acuity 6/9 both.

# Plan
Next screening in 12 months, any programme. Blood pressure 150/88 today: ramipril to 5 mg after U&E. U&E taken.
""", ps="310160007", svc=("20260105", None))
D("P26", 6, "CLET", "RAX:RAX01", "2026-01-06 10:10", "Ms Tabitha Rowan", PHARMACIST, "Pharmacist's medicines letter", """
Dear colleague,

# Medicines, reconciled from five letters
| Medicine | Dose | From
| Flucloxacillin | 500 mg four times daily to 9 January | Queen's
| Ramipril | 2.5 mg, 5 mg from today (U&E normal) | UCLH, Lewisham
| Metformin | 500 mg twice daily | St Mary's

# Note
Sulfonamide allergy: rash to co-trimoxazole, 2012. Four weeks supplied in one small pack. Knows to stop metformin and ramipril if vomiting.
""", ps="310080006", svc=("20260106", None))
D("P26", 7, "CLET", "RWH:RWH01", "2026-01-07 16:00", "Dr Perpetua Lamb", CLINICIAN, "Same-day emergency care letter", """
Dear colleague,

# Reason
Calf pain after the walk to Stevenage. ? deep vein thrombosis.

# Findings
Wells score 1. D-dimer 240 ng/mL, negative. Shin: faint pink, fading. Walks well.

# Diagnosis
Calf strain. No scan needed. No anticoagulant.

# Plan
Rest for two days. Finish flucloxacillin.
""", ps="931781000000102", svc=("20260107", None))
D("P26", 8, "CLET", "RD8:RD816", "2026-01-08 12:00", "Dr Silvanus Keech", REGISTRAR, "Orthotics letter", """
Dear colleague,

Boots with extra depth fitted at Milton Keynes to take the insoles of St Mary's. Skin whole on both feet. Advised: two pairs of socks, look at the soles each night with the mirror given. Next pair due in six months; the lasts are kept here and can be sent on.
""", ps="893431000000109", svc=("20260108", None))
D("P26", 9, "CLET", "RC9:RC979", "2026-01-09 11:40", "Sister Hyacinth Bold", NURSE, "Tissue viability letter", """
Dear colleague,

# Findings
Left shin healed: skin dry, a little staining. Flucloxacillin finished today. No ulcer on either foot.

# Plan
Emollient twice daily, tube given. Ankle pressures: left 1.08, right 1.11. Compression not needed.
""", ps="700241009", svc=("20260109", None))
D("P26", 10, "CLET", "RGR:RGR50", "2026-01-10 13:15", "Dr Cosima Yaxley", CONSULTANT, "Hypertension clinic letter", """
Dear colleague,

# Findings
Blood pressure 142/84 seated, 138/82 standing, on ramipril 5 mg. ECG: sinus rhythm, no hypertrophy. Albumin/creatinine 4.2 mg/mmol.

# Plan
- Ramipril to 7.5 mg, U&E in two weeks
- Atorvastatin 20 mg at night
- Microalbumin: repeat twice in three months
""", ps="789718008", svc=("20260110", None))
D("P26", 11, "CLET", "RTH:RTH08", "2026-01-11 10:30", "Dr Barnaby Selwood", CONSULTANT, "Diabetes clinic letter", """
Dear colleague,

# Review
Metformin tolerated. Weight 88 kg, BMI 27.4. Sensor worn for five days: mean glucose 10.2, no lows. eGFR 78.

# Plan
- Metformin to 1 g twice daily
- Dapagliflozin 10 mg daily (albuminuria); sick-day rules and foot checks
- HbA1c in April, any laboratory
""", ps="963151000000104", svc=("20260111", None))
D("P26", 12, "CLET", "R0A", "2026-01-12 15:10", "Dr Esme Garside", CLINICIAN, "Homeless health letter, Manchester", """
Dear colleague,

# Visit
Seen at the day centre. Took the coach from Oxford because of snow. Feet whole, boots good. Blood pressure 136/80. U&E: creatinine 82, potassium 4.6 on ramipril 7.5 mg and dapagliflozin.

# Plan
Influenza and COVID-19 vaccines given. No change to medicines.
""", ps="413294000", svc=("20260112", None))
D("P26", 13, "CLET", "RHM:RHM01", "2026-01-13 14:25", "Dr Jolyon Tideswell", REGISTRAR, "Dental and maxillofacial letter, Southampton", """
Dear colleague,

# Reason
Broken lower left molar, pain for two days.

# Treatment
Extraction under articaine, simple. Haemostasis in 5 minutes. No antibiotics needed. Paracetamol.

# Plan
Heals by itself. Dry socket advice. Dental access telephone given.
""", ps="310156009", svc=("20260113", None))
D("P26", 14, "CLET", "RRU", "2026-01-14 23:30", "Mr Caspian Thornbury", PARAMEDIC, "Ambulance letter: seen and not conveyed", """
Dear colleague,

# Call
999 by a passer-by, man lying in a shop doorway, Strand, 22:41. He was asleep.

# Findings
Alert, GCS 15, pulse 72, blood pressure 134/78, temperature 35.9, glucose 8.9. Feet dry, boots on. Shared record read: nothing new.

# Outcome
Not conveyed, with his agreement. Severe weather shelter arranged; walked there with the outreach team.
""", svc=("20260114224900", "20260114231500"), ps="792847005", ft="11424001")
D("P26", 15, "CLET", "ZZ9742", "2026-01-15 08:20", "Ms Calliope Rusk", CLINICIAN, "NHS 111 clinician letter", """
Dear colleague,

# Call
07:35 from his mobile. Lost his tablets in the shelter.

# Advice
Identity and medicines checked against the shared record. Emergency supply of metformin 1 g, ramipril 7.5 mg, dapagliflozin 10 mg and atorvastatin 20 mg, seven days, at a pharmacy in Holborn. No symptoms.

# Plan
Practice registration without an address: explained, practice near King's Cross named.
""", svc=("20260115073500", "20260115080500"), ps="907301000000109", ft="257622000")

# --- P27: very restricted documents beside an ordinary one

D("P27", 1, "OPL", "RQM:RQM01", "2025-06-18 15:30", "Dr Evadne Sterling", CONSULTANT, "Specialist clinic letter", """
# Clinic
Sexual health and HIV medicine. VERY RESTRICTED. Not copied to the practice at the patient's wish.

# Diagnosis
HIV-1, diagnosed 2016, undetectable since 2017.

# Review
Well. No missed doses. CD4 680. Viral load below 20 copies/mL (see report of today). Sexual health screen taken; treated contact of gonorrhoea, ceftriaxone 1 g given. Hepatitis B immune. Blood pressure 122/74.

# Medicines
- Dolutegravir/lamivudine 50/300 mg once daily (supplied here)
- INTERACTIONS: separate from antacids, calcium and iron; metformin limit 1 g

# Plan
Bloods in six months. Test of cure two weeks. Talked again of telling the practice: will think about it.
""", ps="788122004", conf="V", svc=("20250618", None))

D("P27", 2, "VIRO", "RQM:RQM01", "2025-06-18 18:40", "Dr Ambrosine Vale", CONSULTANT, "Virology report", """
# Results
| Test | Result | Unit
| HIV-1 RNA | below 20 | copies/mL
| CD4 count | 680 | cells/mm3
| Hepatitis B surface antibody | 412 | mIU/mL
| Hepatitis C antibody | not detected |
| Syphilis antibody | not detected |

# Comment
Viral suppression kept. VERY RESTRICTED: released to the requesting clinic only.
""", conf="V", svc=("20250618", None), signed=True)

D("P27", 3, "DSUM", "RYJ:RYJ01", "2025-12-09 14:15", "Mr Florian Tangmere", REGISTRAR, "Discharge summary: laparoscopic appendicectomy", """
# Diagnoses
- Acute appendicitis, not perforated

# Hospital course
One day of pain moving to the right iliac fossa. White cells 15.1, CRP 62. Laparoscopic appendicectomy 8 December: inflamed tip, no pus. One dose of antibiotics at induction. Eating and walking next day.

# Discharge medicines
| Medicine | Dose | Status
| Paracetamol | 1 g four times daily as needed | new
| Ibuprofen | 400 mg three times daily with food, 5 days | new

# Allergies
- None known

# Plan
- Histology to the practice in three weeks
- No lifting for two weeks; wound glue falls off by itself
- No follow-up
""", ps="310156009", svc=("20251207212000", "20251209141500"), signed=True)

# --- P29: character set

D("P29", 1, "CLET", "RQM:RQM91", "2025-10-31 12:05", "Dr Zoë Brontë-Müller", CONSULTANT, "Clinical letter: café-au-lait macule, Ménière's disease", """
Dear Dr Penhallow,

# Name
Please keep the full name as written: Seán-Pádraig Ó Fictícheáll-D'Örnament van Exampleton, born on 29 February. Three systems have cut it short.

# Diagnosis
Solitary café-au-lait macule, right flank, 31 mm; no other sign of neurofibromatosis. Ménière's disease, quiet.

# Review
No change in size since 2019. Skin otherwise clear, no axillary freckling, no Lisch nodules. Temperature 36.8 °C. Betahistine 16 mg three times daily; no attacks for a year.

# Plan
- No treatment, no follow-up
- Betahistine may be stopped in spring
- Allergy: none known
""", fmt="xds-sd", form="urn:ihe:iti:xds-sd:pdf:2008", ps="700241009", svc=("20251031", None))

# --- P30 and P31: from far communities, ill in London

D("P30", 2, "DSUM", "R0A", "2024-11-11 15:00", "Dr Winnifred Haslam", CONSULTANT, "Discharge summary: pulmonary embolism", """
# Diagnoses
- Bilateral segmental pulmonary emboli, unprovoked
- Antiphospholipid syndrome, triple positive: WARFARIN, NOT A DOAC

# Hospital course
Breathless for three days. CT pulmonary angiogram: segmental emboli both lower lobes, RV normal. Enoxaparin bridging to warfarin. INR 2.6 at discharge.

# Discharge medicines
| Medicine | Dose | Status
| Warfarin | 5 mg daily, target INR 2.5 (2.0 to 3.0), lifelong | new
| Hydroxychloroquine | 200 mg once daily | new

# Allergies
- Clarithromycin: prolonged QT

# Plan
- INR clinic Manchester 14 November; repeat antibodies at 12 weeks
""", svc=("20241105191000", "20241111150000"), signed=True)

D("P30", 3, "EDR", "RRV:RRV03", "2026-02-08 17:45", "Dr Idris Fallowfield", CLINICIAN, "Emergency department summary: nose bleed on warfarin", """
# Presenting complaint
In London for a conference. Nose bleed for two hours, on warfarin. Arrived 14:10.

# Observations
| Measure | Value
| Pulse | 92 /min
| Blood pressure | 138/80 mmHg
| SpO2 | 98% on air

# Investigations
INR 5.4. Haemoglobin 121. Had taken a friend's fluconazole three days before.

# Treatment
First aid failed; left anterior pack (Rapid Rhino 5.5 cm), bleeding stopped. Vitamin K 1 mg by mouth. Warfarin held two days.

# Diagnosis
Anterior epistaxis; raised INR from an interaction.

# Disposal
Pack out 9 February in ENT clinic. INR 10 February. Reason for warfarin read from the Manchester summary: antiphospholipid syndrome, so not changed to a DOAC.
""", ps="409971007", svc=("20260208141000", "20260208174500"))

D("P31", 1, "DSUM", "RHM:RHM01", "2025-07-23 14:30", "Miss Ianthe Bellweather", CONSULTANT, "Discharge summary: ruptured abdominal aortic aneurysm repair", """
# Diagnoses
- Contained rupture of a 6.8 cm infrarenal aortic aneurysm, endovascular repair 12 July
- Iliac aneurysm, left, 3.4 cm, for staged repair
- COPD; former smoker

# Hospital course
Collapsed at the boatyard. Bifurcated stent graft under local anaesthesia. ITU two days. Small type II endoleak, watched. Creatinine peak 168, now 112.

# Discharge medicines
| Medicine | Dose | Status
| Aspirin | 75 mg once daily | new
| Atorvastatin | 80 mg at night | new
| Bisoprolol | 2.5 mg once daily | new
| Tiotropium | 5 micrograms once daily | continue

# Allergies
- Latex: contact dermatitis

# Plan
- CT in three months
- Referral to St George's for branched iliac repair
""", ps="310156009", svc=("20250712082000", "20250723143000"), signed=True)

D("P31", 2, "OPL", "RJ7:RJ701", "2025-10-09 09:50", "Mr Peregrine Ashgrove", CONSULTANT, "Vascular surgery clinic letter", """
Dear Miss Bellweather,

# Diagnosis
Left common iliac aneurysm 3.6 cm, after endovascular repair of a ruptured aortic aneurysm.

# Review
Mr Harbourside came by train with his sister. Walks a mile. Feet warm, pulses all present. CT of 1 October by image exchange: sac 6.4 cm (was 6.8), type II endoleak smaller, iliac 3.6 cm.

# Advice
Iliac branch device, keeping the internal iliac artery: he is active and the right one is blocked. Risk of buttock claudication 5%, death below 1%.

# Plan
- Lung function and echo in Southampton; results will be seen here
- Theatre December, latex free
- Surveillance afterwards in Southampton
""", ps="310156009", svc=("20251009", None))

# --- P32: a member of staff

D("P32", 1, "DSUM", "RJ1:RJ122", "2025-12-19 16:20", "Dr Cressida Vaughan", CONSULTANT, "Discharge summary: acute cholecystitis", """
# Diagnoses
- Acute calculous cholecystitis; laparoscopic cholecystectomy 17 December

# Hospital course
Right upper quadrant pain and fever for two days. Ultrasound: stones, wall 6 mm, duct 4 mm. Hot gallbladder list next day, no drain. Home on day 2.

# Discharge medicines
| Medicine | Dose | Status
| Paracetamol | 1 g four times daily | new
| Dihydrocodeine | 30 mg as needed, 3 days | new

# Allergies
- Chlorhexidine: contact urticaria

# Plan
- Off work two weeks. Wound check by practice nurse

# Privacy
Employee of this trust. Every look at this record is audited and alerted.
""", ps="310156009", svc=("20251215204000", "20251219162000"), signed=True)

D("P32", 2, "OPL", "RJ1:RJ122", "2026-02-03 09:30", "Dr Cressida Vaughan", CONSULTANT, "Surgical clinic letter", """
Dear Dr Thistledown,

# Diagnosis
Seven weeks after laparoscopic cholecystectomy.

# Review
Well and back at work. Scars healed. Loose stools after rich food, getting better. Histology: chronic cholecystitis with stones, no dysplasia. Liver tests normal.

# Plan
- Colestyramine only if stools are a trouble after three months
- Chlorhexidine urticaria confirmed by skin test 20 January: please code; alcohol or iodine instead
- Discharged
""", ps="310156009", svc=("20260203", None))

# ---------------------------------------------------------------------------------------------
# Derived tables

def rows(text):
    return [line.split("|") for line in text.strip().splitlines()]

COMMUNITY = {r[0]: dict(number=int(r[1]), name=r[2], area=r[3].split(), scope=r[4], state=r[5], kind=r[6], members=r[7].split())
             for r in rows(COMMUNITIES)}
ORGANISATION = {}
for _code, _name, _key, _n, _phone, _sites in rows(ORGANISATIONS):
    ORGANISATION[_code] = dict(code=_code, name=_name, community=_key, arc=f"{COMMUNITY[_key]['number']}.{_n}", phone=_phone,
                               sites=dict(s.strip().split(" ", 1) for s in _sites.split(";") if s.strip()))
LOCAL = {(person, item.split()[0]): item.split()[1] for person, items in rows(LOCAL_NUMBERS) for item in items.split(", ")}
PERSON = {}
for _id, _nhs, _prefix, _given, _family, _sex, _born, _home, _key, _flags in rows(PEOPLE):
    _town, _, _outward = _home.rpartition(" ")
    PERSON[_id] = dict(
        id=_id, nhs_number=_nhs or None, prefix=_prefix or None, given=_given, family=_family, sex=_sex, dob=_born,
        address=dict(line="1 Example Row", town=_town, postcode=f"{_outward} 9ZZ", country="GBR") if _home else None,
        home=_key, flags=_flags.split() if _flags else [])

def local_number(person, org):
    return LOCAL.get((person, org)) or f"7{person[1:]}{COMMUNITY[ORGANISATION[org]['community']]['number']:03d}"

def spaced(nhs):
    return f"{nhs[:3]} {nhs[3:6]} {nhs[6:]}" if nhs else "none"

PREFIXES = ("Dr", "Mr", "Mrs", "Ms", "Miss", "Prof", "Sister", "Staff", "Nurse")

def name_parts(full):
    words, prefix = full.split(), []
    while words[0] in PREFIXES:
        prefix.append(words.pop(0))
    return " ".join(prefix), words[0], " ".join(words[1:])

AUTHOR_IDS = {}
for _d in DOCUMENTS:
    AUTHOR_IDS.setdefault(_d["author"], f"9997{len(AUTHOR_IDS) + 1:08d}")

def dtm(when):
    """`2025-11-03 10:15` as an HL7 date and time with seconds, UTC."""
    return re.sub(r"\D", "", when) + "00"

def iso(when):
    return when.replace(" ", "T") + ":00Z"

def long_date(date):
    months = "January February March April May June July August September October November December".split()
    year, month, day = date.split("-")
    return f"{int(day)} {months[int(month) - 1]} {year}"

def code(value, system, display):
    return {"code": value, "scheme": system[0], "display": display}

EXTENSIONS = {"pdf": ("application/pdf", "pdf"), "cda": ("text/xml", "xml"), "xds-sd": ("text/xml", "xml"),
              "fhir": ("application/fhir+json", "json"), "hl7": ("application/x-hl7", "hl7"), "txt": ("text/plain", "txt"),
              "kos": ("application/dicom", "dcm"), "photo": ("image/jpeg", "jpg"), "jpeg": ("image/jpeg", "jpg"),
              "tiff": ("image/tiff", "tif"), "scan": ("image/tiff", None)}

def event_code(value):
    if value in MODALITIES:
        return code(value, DICOM, MODALITIES[value])
    if value in LOINC_PANELS:
        return code(value, LOINC, LOINC_PANELS[value])
    return code(value, SNOMED, SNOMED_EVENTS[value])

def complete(d):
    """Adds to a document what its key, organisation and person say."""
    d["organisation"], _, d["site"] = d["org"].partition(":")
    org = ORGANISATION[d["organisation"]]
    class_code, type_code, type_name, loinc, setting, facility, level = DOCUMENT_KEYS[d["key"]]
    number = COMMUNITY[org["community"]]["number"]
    form = d["form"] or SUFFICIENT
    if d["fmt"] == "kos":
        format_code = code(KOS_SOP_CLASS, DICOM, "Key Object Selection Document")
    elif form == "nhs-itk-cda":
        format_code = code(form, LOCAL_FORMAT, "NHS ITK CDA")
    else:
        format_code = code(form, IHE_FORMAT, FORMATS[form])
    mime, extension = EXTENSIONS[d["fmt"]]
    content = CONTENT_TYPE_OF.get(d["key"], "308335008")
    prefix, given, family = name_parts(d["author"])
    arc = f"{int(d['person'][1:])}.{d['number']}"
    start, stop = d["svc"]
    d.update(
        who=PERSON[d["person"]], organisation_row=org, community=org["community"], mime=mime, loinc=None if loinc == "-" else loinc,
        author_parts=(prefix, given, family), author_id=AUTHOR_IDS[d["author"]], start=start, stop=stop,
        unique_id=f"2.999.826.5.{number}.1.{arc}", set_id=f"2.999.826.5.{number}.2.{arc}",
        class_code=code(class_code, SNOMED, CLASS_CODES[class_code]), type_code=code(type_code, SNOMED, type_name),
        format_code=format_code,
        facility_code=code(d["ft"] or facility, SNOMED, FACILITIES[d["ft"] or facility]),
        setting_code=code(d["ps"] or setting, SNOMED, PRACTICE_SETTINGS[d["ps"] or setting]),
        level=code(d["conf"] or level, CONFIDENTIALITY, CONFIDENTIALITY_CODES[d["conf"] or level]),
        content_code=code(content, SNOMED, CONTENT_TYPES[content]),
        event_codes=[event_code(value) for value in d["events"]],
        place=org["sites"].get(d["site"], ""), local=local_number(d["person"], d["organisation"]),
        domain=f"2.999.826.2.{org['arc']}", source=f"2.999.826.4.{org['arc']}",
        file="generated:five-megabyte-scan" if d["fmt"] == "scan" else f"documents/{d['person']}-{d['number']}-{d['key']}.{extension}")
    d["xcn"] = f"{d['author_id']}^{family}^{given}^^^{prefix}^^^&{SDS_USER}&ISO"

for _d in DOCUMENTS:
    complete(_d)

def row(d):
    org = d["organisation_row"]
    return {
        "person": d["person"], "number": d["number"], "key": d["key"], "community": d["community"], "title": d["title"],
        "organisation_name": org["name"], "organisation_oid": ODS, "organisation_code": org["code"], "site": d["site"] or None,
        "local_patient_id": d["local"], "local_patient_domain": d["domain"], "date": d["when"][:10],
        "creation_time": dtm(d["when"]), "service_start": d["start"], "service_stop": d["stop"],
        "class_code": d["class_code"], "type_code": d["type_code"], "format_code": d["format_code"],
        "facility_type_code": d["facility_code"], "practice_setting_code": d["setting_code"],
        "confidentiality_code": d["level"], "event_codes": d["event_codes"], "mime_type": d["mime"], "language": "en-GB",
        "author": {
            "person_xcn": d["xcn"], "role": f"{d['role']}^^^&{SDS_JOB_ROLE}&ISO",
            "specialty": f"{d['setting_code']['code']}^^^&{SNOMED[0]}&ISO",
            "institution_xon": f"{org['name']}^^^^^&{ODS}&ISO^^^^{org['code']}", "telecom": f"^WPN^PH^^^^{org['phone']}"},
        "unique_id": d["unique_id"], "submission_set_unique_id": d["set_id"], "source_id": d["source"],
        "content_type_code": d["content_code"], "legal_authenticator": d["xcn"] if d["signed"] else None, "file": d["file"]}

# ---------------------------------------------------------------------------------------------
# The text's little markup

def blocks(text):
    """Yields ("heading", str), ("paragraph", str), ("list", [str]) and ("table", [[str]])."""
    found = []
    for line in text.splitlines():
        line = line.rstrip()
        if line.startswith("# "):
            found.append(("heading", line[2:]))
        elif line.startswith("- "):
            if not found or found[-1][0] != "list":
                found.append(("list", []))
            found[-1][1].append(line[2:])
        elif line.startswith("|"):
            if not found or found[-1][0] != "table":
                found.append(("table", []))
            found[-1][1].append([cell.strip() for cell in line[1:].split("|")])
        elif line:
            if found and found[-1][0] == "paragraph":
                found[-1] = ("paragraph", found[-1][1] + "\n" + line)
            else:
                found.append(("paragraph", line))
        else:
            found.append(("gap", None))
    for kind, value in found:
        if kind == "table":
            width = max(len(cells) for cells in value)
            value[:] = [cells + [""] * (width - len(cells)) for cells in value]
    return [block for block in found if block[0] != "gap"]

def sections(text):
    """Groups the blocks under their headings; text before the first heading has None."""
    grouped = [(None, [])]
    for kind, value in blocks(text):
        if kind == "heading":
            grouped.append((value, []))
        else:
            grouped[-1][1].append((kind, value))
    return [(heading, body) for heading, body in grouped if heading or body]

def banner(d):
    who, address = d["who"], d["who"]["address"]
    full = " ".join(part for part in (who["prefix"], who["given"], who["family"]) if part)
    lines = [("Patient", full), ("NHS number", spaced(who["nhs_number"])),
             ("Born", f"{long_date(who['dob'])}   Sex: {who['sex']}"), ("Local number", f"{d['local']} ({d['organisation']})")]
    if address:
        lines.append(("Address", f"{address['line']}, {address['town']} {address['postcode']}"))
    return lines

NOTICE = "Sample document about an invented person. Not a real record."

# ---------------------------------------------------------------------------------------------
# PDF 1.4: two standard fonts, text left readable in the content stream

_WIDTHS = ("278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 " + "556 " * 10 + "278 278 584 584 584 556 1015 "
           "667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 667 667 611 "
           "278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 "
           "556 500 722 500 500 500 334 260 334 584")
HELVETICA = dict(zip(range(32, 127), map(int, _WIDTHS.split())))

def text_width(text, size, bold=False):
    width = sum(HELVETICA.get(ord(c), 556) for c in text)
    return width * size * (107 if bold else 100) // 100000 + 1

def wrap(text, size, room, bold=False):
    lines, current = [], ""
    for word in text.split():
        trial = f"{current} {word}" if current else word
        if current and text_width(trial, size, bold) > room:
            lines.append(current)
            current = word
        else:
            current = trial
    return lines + [current]

def pdf_string(text):
    out = []
    for byte in text.encode("cp1252", "replace"):
        char = chr(byte)
        out.append("\\" + char if char in "()\\" else char if 32 <= byte < 127 else f"\\{byte:03o}")
    return "(" + "".join(out) + ")"

class Pages:
    """Lays lines on A4 pages, top to bottom; opens the next page when one is full."""
    LEFT, RIGHT, TOP, BOTTOM = 50, 545, 800, 60

    def __init__(self):
        self.pages, self.y = [], 0
        self.turn()

    def turn(self):
        self.pages.append([])
        self.y = self.TOP

    def raw(self, command):
        self.pages[-1].append(command)

    def room(self, height):
        if self.y - height < self.BOTTOM:
            self.turn()

    def put(self, x, text, size=10, bold=False):
        self.raw(f"BT /{'B' if bold else 'R'} {size} Tf {x} {self.y} Td {pdf_string(text)} Tj ET")

    def line(self, text, size=10, bold=False, x=LEFT, lead=13):
        self.room(lead)
        self.y -= lead
        self.put(x, text, size, bold)

    def paragraph(self, text, x=LEFT, bold=False):
        for part in text.split("\n"):
            for line in wrap(part, 10, self.RIGHT - x, bold):
                self.line(line, x=x, bold=bold)

    def table(self, table):
        columns = len(table[0])
        wanted = [min(max(text_width(r[c], 9, True) for r in table) + 8, 260) for c in range(columns)]
        space = self.RIGHT - self.LEFT
        scale = min(1000, space * 1000 // max(sum(wanted), 1))
        widths = [w * scale // 1000 for w in wanted]
        for index, cells in enumerate(table):
            bold = index == 0
            wrapped = [wrap(cell, 9, width - 6, bold) for cell, width in zip(cells, widths)]
            height = 12 * max(len(lines) for lines in wrapped)
            self.room(height + 2)
            base, x = self.y, self.LEFT
            for lines, width in zip(wrapped, widths):
                for n, line in enumerate(lines):
                    if line:
                        self.y = base - 11 - 12 * n
                        self.put(x, line, 9, bold)
                x += width
            self.y = base - height - 2
            self.raw(f"0.75 G 0.4 w {self.LEFT} {self.y} m {self.LEFT + sum(widths)} {self.y} l S 0 G")
        self.y -= 3

    def trace(self, rate):
        """An ECG rhythm strip on millimetre paper: one beat repeated at the given rate, 25 mm/s."""
        self.room(130)
        left, bottom, width, height = self.LEFT, self.y - 112, 495, 100
        self.raw("1 0.8 0.8 RG 0.3 w")
        for x in range(0, width + 1, 14):
            self.raw(f"{left + x} {bottom} m {left + x} {bottom + height} l S")
        for y in range(0, height + 1, 14):
            self.raw(f"{left} {bottom + y} m {left + width} {bottom + y} l S")
        beat = [(0, 0), (6, 4), (10, 0), (14, 0), (16, -5), (19, 34), (22, -9), (24, 0), (31, 0), (36, 8), (41, 0)]
        step = 71 * 60 // rate
        path, x = [f"0 G 0.8 w {left} {bottom + 40} m"], 0
        while x + 41 < width:
            path += [f"{left + x + dx} {bottom + 40 + dy} l" for dx, dy in beat]
            x += step
        self.raw(" ".join(path) + " S")
        self.y = bottom - 4
        self.line(f"II   25 mm/s   10 mm/mV   {rate}/min", 8, lead=10)

def pdf(d):
    page, org = Pages(), d["organisation_row"]
    page.raw("0 0.37 0.72 rg")
    page.line(org["name"], 14, True, lead=14)
    page.raw("0 g")
    page.line(", ".join(part for part in (d["place"], d["setting_code"]["display"]) if part), 10, lead=15)
    page.line(f"Telephone {org['phone']}   ODS {d['site'] or org['code']}", 8, lead=11)
    page.y -= 5
    page.raw(f"0 0.37 0.72 RG 1 w {page.LEFT} {page.y} m {page.RIGHT} {page.y} l S 0 G")
    page.y -= 6
    for line in wrap(d["title"], 13, page.RIGHT - page.LEFT, True):
        page.line(line, 13, True, lead=17)
    page.line(f"Date: {long_date(d['when'][:10])}", 9, lead=14)
    lines = banner(d)
    page.y -= 6
    page.raw(f"0.93 0.95 0.98 rg {page.LEFT} {page.y - 13 * len(lines) - 6} {page.RIGHT - page.LEFT} {13 * len(lines) + 6} re f 0 g")
    for label, value in lines:
        page.line(label, 9, x=page.LEFT + 6)
        page.put(page.LEFT + 90, value, 9, True)
    page.y -= 10
    if d["level"]["code"] != "N":
        page.line(d["level"]["display"].upper() + ": share only with those who need to know", 9, True)
    if d["extra"] and d["extra"].startswith("trace:"):
        page.trace(int(d["extra"][6:]))
    for kind, value in blocks(d["text"]):
        if kind == "heading":
            page.room(34)
            page.y -= 5
            page.line(value, 11, True, lead=14)
        elif kind == "paragraph":
            page.paragraph(value)
        elif kind == "list":
            for item in value:
                lines = wrap(item, 10, page.RIGHT - page.LEFT - 14)
                page.line("-", x=page.LEFT + 4)
                page.put(page.LEFT + 14, lines[0])
                for line in lines[1:]:
                    page.line(line, x=page.LEFT + 14)
        else:
            page.table(value)
    page.y -= 8
    page.line(f"{'Authorised' if d['signed'] else 'Written'} electronically by {d['author']}, {ROLE_NAMES[d['role']]}, {long_date(d['when'][:10])}", 9)
    for n, commands in enumerate(page.pages):
        commands.append(f"BT /R 7 Tf 50 36 Td {pdf_string(NOTICE + '  Document ' + d['unique_id'] + f'  Page {n + 1} of {len(page.pages)}')} Tj ET")
    return assemble_pdf(page.pages, d)

def assemble_pdf(pages, d):
    count = len(pages)
    kids = " ".join(f"{6 + 2 * n} 0 R" for n in range(count))
    title = "<" + ("\ufeff" + d["title"]).encode("utf-16-be").hex().upper() + ">"
    stamp = dtm(d["when"])
    objects = [
        "<< /Type /Catalog /Pages 2 0 R /Lang (en-GB) >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        f"<< /Title {title} /Author {pdf_string(d['author'])} /CreationDate (D:{stamp}Z) >>"]
    for n, commands in enumerate(pages):
        body = "\n".join(commands)
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /R 3 0 R /B 4 0 R >> >> /Contents {7 + 2 * n} 0 R >>")
        objects.append(f"<< /Length {len(body)} >>\nstream\n{body}\nendstream")
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for n, body in enumerate(objects):
        offsets.append(len(out))
        out += f"{n + 1} 0 obj\n{body}\nendobj\n".encode("ascii")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += "".join(f"{offset:010d} 00000 n \n" for offset in offsets).encode()
    mark = hashlib.md5(d["unique_id"].encode()).hexdigest().upper()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 5 0 R /ID [<{mark}> <{mark}>] >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)

# ---------------------------------------------------------------------------------------------
# Plain text

def plain(d):
    org, out = d["organisation_row"], []
    out += [org["name"].upper(), ", ".join(p for p in (d["place"], d["setting_code"]["display"]) if p), f"Telephone {org['phone']}", ""]
    out += [d["title"], "=" * len(d["title"]), f"Date: {long_date(d['when'][:10])}"]
    out += [f"{label + ':':15}{value}" for label, value in banner(d)] + [""]
    def folded(text, first="", rest=""):
        return textwrap.wrap(text, 76, initial_indent=first, subsequent_indent=rest)
    for kind, value in blocks(d["text"]):
        if kind == "heading":
            out += ["", value.upper()]
        elif kind == "paragraph":
            for part in value.split("\n"):
                out += folded(part)
        elif kind == "list":
            for item in value:
                out += folded(item, "- ", "  ")
        else:
            widths = [max(len(r[c]) for r in value) for c in range(len(value[0]))]
            out += ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in value]
    out += ["", f"{'Authorised' if d['signed'] else 'Written'} by {d['author']}, {ROLE_NAMES[d['role']]}", NOTICE, ""]
    return "\n".join(out).encode("utf-8")

# ---------------------------------------------------------------------------------------------
# CDA R2

SECTION_CODES = {
    "Presenting complaint": ("10154-3", "Chief complaint"), "Diagnosis": ("29308-4", "Diagnosis"), "Diagnoses": ("29308-4", "Diagnosis"),
    "Hospital course": ("8648-8", "Hospital course"), "Discharge medicines": ("10183-2", "Hospital discharge medications"),
    "Allergies": ("48765-2", "Allergies and adverse reactions"), "Observations on arrival": ("8716-3", "Vital signs"),
    "Investigations": ("30954-2", "Relevant diagnostic tests and laboratory data"), "Results": ("30954-2", "Relevant diagnostic tests and laboratory data"),
    "Plan": ("18776-5", "Plan of care"), "Plan for the GP": ("18776-5", "Plan of care"), "Immunisations given": ("11369-6", "History of immunisation"),
    "Clinical information": ("55752-0", "Clinical information"), "Technique": ("55111-9", "Current imaging procedure descriptions"),
    "Findings": ("59776-5", "Procedure findings"), "Conclusion": ("19005-8", "Radiology imaging study impression"),
}

def cda_time(name, value):
    return f'<{name} value="{value}{"+0000" if len(value) > 8 else ""}"/>'

def cda_body(body):
    out = []
    for kind, value in body:
        if kind == "paragraph":
            out.append("<paragraph>" + "<br/>".join(escape(p) for p in value.split("\n")) + "</paragraph>")
        elif kind == "list":
            out.append("<list>" + "".join(f"<item>{escape(item)}</item>" for item in value) + "</list>")
        else:
            head = "".join(f"<th>{escape(cell)}</th>" for cell in value[0])
            lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in value[1:])
            out.append(f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>")
    return "".join(out)

def cda_organisation(org):
    return (f'<id root="{ODS}" extension="{org["code"]}"/><name>{escape(org["name"])}</name>'
            f'<telecom use="WP" value="tel:{org["phone"].replace(" ", "")}"/>')

def cda_author(d):
    prefix, given, family = d["author_parts"]
    return (f'<id root="{SDS_USER}" extension="{d["author_id"]}"/>'
            f'<code code="{d["role"]}" codeSystem="{SDS_JOB_ROLE}" displayName="{ROLE_NAMES[d["role"]]}"/>',
            f"<name><prefix>{prefix}</prefix><given>{escape(given)}</given><family>{escape(family)}</family></name>")

def cda(d, body=None):
    who, org, when = d["who"], d["organisation_row"], dtm(d["when"])
    ids = f'<id root="{NHS_NUMBER}" extension="{who["nhs_number"]}" assigningAuthorityName="NHS"/>' if who["nhs_number"] else ""
    ids += f'<id root="{d["domain"]}" extension="{d["local"]}" assigningAuthorityName={quoteattr(org["code"] + ":" + org["name"])}/>'
    address = who["address"]
    addr = (f'<addr use="HP"><streetAddressLine>{address["line"]}</streetAddressLine><city>{address["town"]}</city>'
            f'<postalCode>{address["postcode"]}</postalCode></addr>') if address else '<addr nullFlavor="MSK"/>'
    prefix = f"<prefix>{who['prefix']}</prefix>" if who["prefix"] else ""
    translation = f'<translation code="{d["loinc"]}" codeSystem="{LOINC[0]}" codeSystemName="LOINC"/>' if d["loinc"] else ""
    code_line, name_line = cda_author(d)
    out = ['<?xml version="1.0" encoding="UTF-8"?>', '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">',
           '<realmCode code="GB"/>', '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>', f'<id root="{d["unique_id"]}"/>',
           f'<code code="{d["type_code"]["code"]}" codeSystem="{SNOMED[0]}" displayName={quoteattr(d["type_code"]["display"])}>{translation}</code>',
           f"<title>{escape(d['title'])}</title>", cda_time("effectiveTime", when),
           f'<confidentialityCode code="{d["level"]["code"]}" codeSystem="{CONFIDENTIALITY[0]}"/>', '<languageCode code="en-GB"/>',
           f'<recordTarget><patientRole>{ids}{addr}<patient><name>{prefix}<given>{escape(who["given"])}</given><family>{escape(who["family"])}</family></name>'
           f'<administrativeGenderCode code="{who["sex"]}" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="{who["dob"].replace("-", "")}"/></patient></patientRole></recordTarget>',
           f'<author>{cda_time("time", when)}<assignedAuthor>{code_line}<assignedPerson>{name_line}</assignedPerson>'
           f"<representedOrganization>{cda_organisation(org)}</representedOrganization></assignedAuthor></author>",
           f"<custodian><assignedCustodian><representedCustodianOrganization>{cda_organisation(org)}</representedCustodianOrganization></assignedCustodian></custodian>"]
    if d["signed"]:
        out.append(f'<legalAuthenticator>{cda_time("time", when)}<signatureCode code="S"/><assignedEntity>{code_line}'
                   f"<assignedPerson>{name_line}</assignedPerson></assignedEntity></legalAuthenticator>")
    interval = cda_time("low", d["start"]) + (cda_time("high", d["stop"]) if d["stop"] else "")
    if d["key"] == "CONS":
        out.append(f'<documentationOf><serviceEvent classCode="ACT"><id root="2.999.826.6.4.1"/><code code="objection" codeSystem="2.999.826.6.4" '
                   f'displayName="Objection to sharing outside the community"/><effectiveTime>{interval}</effectiveTime></serviceEvent></documentationOf>')
    if d["stop"]:
        out.append(f'<componentOf><encompassingEncounter><effectiveTime>{interval}</effectiveTime><location><healthCareFacility>'
                   f'<code code="{d["facility_code"]["code"]}" codeSystem="{SNOMED[0]}" displayName={quoteattr(d["facility_code"]["display"])}/>'
                   f"</healthCareFacility></location></encompassingEncounter></componentOf>")
    if body is None:
        out.append("<component><structuredBody>")
        for heading, content in sections(d["text"]):
            coded = ""
            if heading in SECTION_CODES:
                value, display = SECTION_CODES[heading]
                coded = f'<code code="{value}" codeSystem="{LOINC[0]}" displayName="{display}"/>'
            out.append(f"<component><section>{coded}<title>{escape(heading or d['title'])}</title><text>{cda_body(content)}</text></section></component>")
        out.append("</structuredBody></component>")
    else:
        out.append(body)
    out.append(f"<!-- {NOTICE} -->\n</ClinicalDocument>\n")
    return "\n".join(out).encode("utf-8")

def xds_sd(d):
    """A PDF in the body of a CDA document (XDS-SD)."""
    inner = base64.encodebytes(pdf(d)).decode("ascii")
    return cda(d, f'<component><nonXMLBody><text mediaType="application/pdf" representation="B64">\n{inner}</text></nonXMLBody></component>')

# ---------------------------------------------------------------------------------------------
# FHIR document

def urn(d, part):
    return "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_OID, f"{d['unique_id']}/{part}"))

def narrative(body):
    html = cda_body(body).replace("<paragraph>", "<p>").replace("</paragraph>", "</p>")
    html = html.replace("<list>", "<ul>").replace("</list>", "</ul>").replace("<item>", "<li>").replace("</item>", "</li>")
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{html}</div>'}

def fhir_entries(d, patient, practitioner):
    """What the key adds beside the composition: (part, resource, heading of its section)."""
    found, subject = [], {"reference": patient}
    tables = [(heading, value) for heading, body in sections(d["text"]) for kind, value in body if kind == "table"]
    if d["key"] == "APPT":
        start, stop = (f"{t[:4]}-{t[4:6]}-{t[6:8]}T{t[8:10]}:{t[10:12]}:00Z" for t in (d["start"], d["stop"]))
        found.append(("appointment", {"resourceType": "Appointment", "status": "booked", "description": d["title"], "start": start, "end": stop,
                                      "participant": [{"actor": subject, "status": "accepted"}]}, "Appointment"))
    if d["key"] == "RX":
        for n, cells in enumerate(tables[0][1][1:]):
            found.append((f"medicine{n}", {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject,
                                           "medicationCodeableConcept": {"text": cells[0]}, "authoredOn": d["when"][:10],
                                           "requester": {"reference": practitioner}, "dosageInstruction": [{"text": cells[1]}],
                                           "note": [{"text": f"{cells[2]}; supply: {cells[3]}"}]}, tables[0][0]))
    if d["key"] == "IMM":
        for n, cells in enumerate(tables[0][1][1:]):
            day, month, year = cells[1].split()
            number = "January February March April May June July August September October November December".split().index(month) + 1
            found.append((f"immunisation{n}", {"resourceType": "Immunization", "status": "completed", "vaccineCode": {"text": cells[0]}, "patient": subject,
                                               "occurrenceDateTime": f"{year}-{number:02d}-{int(day):02d}", "primarySource": True,
                                               "protocolApplied": [{"series": cells[2], "doseNumberString": cells[2]}]}, tables[0][0]))
    if d["key"] == "PCSP":
        found.append(("plan", {"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": subject, "title": d["title"],
                               "created": d["when"][:10], "activity": [{"detail": {"status": "in-progress", "description": ": ".join(cells)}}
                                                                       for cells in tables[0][1][1:]]}, "Support"))
    return found

def fhir(d):
    who, org = d["who"], d["organisation_row"]
    patient, practitioner, organisation = (urn(d, part) for part in ("patient", "practitioner", "organisation"))
    prefix, given, family = d["author_parts"]
    name = {"family": who["family"], "given": [who["given"]]}
    if who["prefix"]:
        name["prefix"] = [who["prefix"]]
    person = {"resourceType": "Patient", "identifier": [], "name": [name], "gender": {"F": "female", "M": "male"}[who["sex"]], "birthDate": who["dob"]}
    if who["nhs_number"]:
        person["identifier"].append({"system": "https://fhir.nhs.uk/Id/nhs-number", "value": who["nhs_number"]})
    person["identifier"].append({"system": f"urn:oid:{d['domain']}", "value": d["local"]})
    if who["address"]:
        person["address"] = [{"line": [who["address"]["line"]], "city": who["address"]["town"], "postalCode": who["address"]["postcode"]}]
    extras = fhir_entries(d, patient, practitioner)
    coding = [{"system": SNOMED[1], "code": d["type_code"]["code"], "display": d["type_code"]["display"]}]
    if d["loinc"]:
        coding.append({"system": LOINC[1], "code": d["loinc"]})
    composition = {
        "resourceType": "Composition", "language": "en-GB", "status": "final", "type": {"coding": coding},
        "category": [{"coding": [{"system": SNOMED[1], "code": d["class_code"]["code"], "display": d["class_code"]["display"]}]}],
        "subject": {"reference": patient}, "date": iso(d["when"]), "author": [{"reference": practitioner}], "title": d["title"],
        "confidentiality": d["level"]["code"], "custodian": {"reference": organisation},
        "section": [{"title": heading or d["title"], "text": narrative(body)} for heading, body in sections(d["text"])]}
    for section in composition["section"]:
        references = [{"reference": urn(d, part)} for part, _, heading in extras if heading == section["title"]]
        if references:
            section["entry"] = references
    parts = [("composition", composition), ("patient", person),
             ("practitioner", {"resourceType": "Practitioner", "identifier": [{"system": "https://fhir.nhs.uk/Id/sds-user-id", "value": d["author_id"]}],
                               "name": [{"family": family, "given": [given], "prefix": [prefix]}]}),
             ("organisation", {"resourceType": "Organization", "identifier": [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": org["code"]}],
                               "name": org["name"], "telecom": [{"system": "phone", "value": org["phone"]}]})]
    parts += [(part, resource) for part, resource, _ in extras]
    bundle = {"resourceType": "Bundle", "meta": {"tag": [{"display": NOTICE}]}, "type": "document",
              "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{d['unique_id']}"}, "timestamp": iso(d["when"]),
              "entry": [{"fullUrl": urn(d, part), "resource": resource} for part, resource in parts]}
    return (json.dumps(bundle, ensure_ascii=False, indent=1) + "\n").encode("utf-8")

# ---------------------------------------------------------------------------------------------
# HL7 v2.5.1 ORU^R01

def hl7_text(text):
    for plain_char, name in (("\\", "\\E\\"), ("|", "\\F\\"), ("^", "\\S\\"), ("&", "\\T\\"), ("~", "\\R\\")):
        text = text.replace(plain_char, name)
    return text

def hl7(d):
    who, org, when = d["who"], d["organisation_row"], dtm(d["when"])
    prefix, given, family = d["author_parts"]
    xcn = f"{d['author_id']}^{family}^{given}^^^{prefix}"
    pid3 = f"{d['local']}^^^{org['code']}^MR" + (f"~{who['nhs_number']}^^^NHS^NH" if who["nhs_number"] else "")
    address = who["address"]
    pid11 = f"{address['line']}^^{address['town']}^^{address['postcode']}^GBR^H" if address else ""
    order = f"{d['person'][1:]}{d['number']:02d}{d['when'][2:4]}{d['when'][5:7]}{d['when'][8:10]}"
    segments = [
        f"MSH|^~\\&|LIMS|{d['site'] or org['code']}|SHARED-RECORD|{d['community']}|{when}+0000||ORU^R01^ORU_R01|{d['unique_id'].split('.', 4)[4]}|T|2.5.1|||AL|NE|GBR|UNICODE UTF-8|en",
        f"PID|1||{pid3}||{who['family']}^{who['given']}^^^{who['prefix'] or ''}^^L||{who['dob'].replace('-', '')}|{who['sex']}|||{pid11}",
        f"PV1|1|N|{d['site'] or org['code']}", f"ORC|RE|{order}^REQ|{order}^LIMS||CM",
        f"OBR|1|{order}^REQ|{order}^LIMS|{d['type_code']['code']}^{hl7_text(d['type_code']['display'])}^SCT|||{d['start']}|||||||||{xcn}||||||{when}||LAB|F||||||||{xcn}"]
    note = 0
    for kind, value in blocks(d["text"]):
        if kind == "table":
            head = value[0]
            for n, cells in enumerate(value[1:]):
                cell = dict(zip(head, cells))
                number = re.fullmatch(r"[0-9.]+", cell["Result"])
                name = hl7_text(cell["Test"])
                coded = f"{cell['LOINC']}^{name}^LN" if cell["LOINC"] else f"^{name}"
                segments.append(f"OBX|{n + 1}|{'NM' if number else 'ST'}|{coded}||{hl7_text(cell['Result'])}|{hl7_text(cell['Unit'])}|{cell['Range']}|{cell['Flag']}|||F|||{d['start']}")
        elif kind == "paragraph":
            note += 1
            segments.append(f"NTE|{note}|L|{hl7_text(value)}")
    return ("\r".join(segments) + "\r").encode("utf-8")

# ---------------------------------------------------------------------------------------------
# DICOM Part 10 file, Explicit VR Little Endian: a key object selection as imaging manifest

def element(group, number, vr, value):
    if isinstance(value, str):
        value = value.encode("utf-8")
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr.encode()
    if vr in ("OB", "SQ", "UT", "UN"):
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value

def sequence(group, number, *items):
    """A sequence of defined length; an item is its elements in ascending order."""
    body = b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in items)
    return element(group, number, "SQ", body)

def dicom_code(value, scheme, meaning):
    return element(8, 0x100, "SH", value) + element(8, 0x102, "SH", scheme) + element(8, 0x104, "LO", meaning)

def kos(d):
    ct_image, root, who = "1.2.840.10008.5.1.4.1.1.2", d["unique_id"], d["who"]
    study, series = f"{root}.1", f"{root}.1.1"
    images = [f"{series}.{n}" for n in range(1, 13)]
    date, time = d["when"][:10].replace("-", ""), d["when"][11:].replace(":", "") + "00"
    def reference(image):
        return element(8, 0x1150, "UI", ct_image) + element(8, 0x1155, "UI", image)
    evidence_series = (element(8, 0x54, "AE", "R1H_PACS") + sequence(8, 0x1199, *map(reference, images)) + element(0x20, 0xE, "UI", series))
    content = [sequence(8, 0x1199, reference(image)) + element(0x40, 0xA010, "CS", "CONTAINS") + element(0x40, 0xA040, "CS", "IMAGE") for image in images]
    body = b"".join([
        element(8, 5, "CS", "ISO_IR 192"), element(8, 0x16, "UI", KOS_SOP_CLASS), element(8, 0x18, "UI", root),
        element(8, 0x20, "DA", date), element(8, 0x23, "DA", date), element(8, 0x30, "TM", time), element(8, 0x33, "TM", time),
        element(8, 0x50, "SH", "R1H25091207"), element(8, 0x60, "CS", "KO"), element(8, 0x70, "LO", "Sample"),
        element(8, 0x80, "LO", d["organisation_row"]["name"]), element(8, 0x90, "PN", ""), element(8, 0x1030, "LO", "CT trauma series"), sequence(8, 0x1111),
        element(0x10, 0x10, "PN", f"{who['family']}^{who['given']}"), element(0x10, 0x20, "LO", d["local"]),
        element(0x10, 0x30, "DA", who["dob"].replace("-", "")), element(0x10, 0x40, "CS", who["sex"]),
        element(0x20, 0xD, "UI", study), element(0x20, 0xE, "UI", f"{root}.2"), element(0x20, 0x10, "SH", "CT1"), element(0x20, 0x11, "IS", "999"), element(0x20, 0x13, "IS", "1"),
        element(0x40, 0xA040, "CS", "CONTAINER"), sequence(0x40, 0xA043, dicom_code("113030", "DCM", "Manifest")), element(0x40, 0xA050, "CS", "SEPARATE"),
        sequence(0x40, 0xA375, sequence(8, 0x1115, evidence_series) + element(0x20, 0xD, "UI", study)),
        sequence(0x40, 0xA504, element(8, 0x105, "CS", "DCMR") + element(0x40, 0xDB00, "CS", "2010")),
        sequence(0x40, 0xA730, *content)])
    meta = b"".join([element(2, 1, "OB", b"\0\1"), element(2, 2, "UI", KOS_SOP_CLASS), element(2, 3, "UI", root),
                     element(2, 0x10, "UI", "1.2.840.10008.1.2.1"), element(2, 0x12, "UI", "2.999.826.7.1")])
    return b"\0" * 128 + b"DICM" + element(2, 0, "UL", len(meta).to_bytes(4, "little")) + meta + body

# ---------------------------------------------------------------------------------------------
# Raster: a 5 x 9 font (one base-32 digit a row, lowest two rows optional), a canvas, TIFF, JPEG

FONT = dict(pair.split(" ") for pair in """
A ehhvhhh;B uhhuhhu;C ehggghe;D uhhhhhu;E vgguggv;F vgguggg;G ehgnhhf;H hhhvhhh;I e44444e;J 72222ic;K hikokih;L ggggggv
M hrllhhh;N hppljjh;O ehhhhhe;P uhhuggg;Q ehhhlid;R uhhukih;S fgge11u;T v444444;U hhhhhhe;V hhhhha4;W hhhllla;X hha4ahh
Y hha4444;Z v1248gv;0 ehjlphe;1 4c4444e;2 eh1248v;3 v2421he;4 26aiv22;5 vgu11he;6 68guhhe;7 v124888;8 ehhehhe;9 ehhf12c
a 00e1fhf;b ggmphhu;c 00egghe;d 11djhhf;e 00ehvge;f 69s8888;g 00fhhhf1e;h ggmphhh;i 40c444e;j 2062222ic;k ggikoki;l c44444e
m 00qllll;n 00mphhh;o 00ehhhe;p 00uhhhugg;q 00fhhhf11;r 00mpggg;s 00fge1u;t 88s8896;u 00hhhjd;v 00hhha4;w 00hhlla;x 00ha4ah
y 00hhhhf1e;z 00v248v;. 00000cc;, 00000cc48;: 0cc00cc;- 000v000;/ 01248g0;( 2488842;) 8422248;' 4480000;" aa00000;+ 044v440
% op248j3;& 8kk8lid;? eh12404;! 4444404;= 00v0v00
""".strip().replace("\n", ";").split(";"))

def glyph_rows(char):
    return [int(digit, 32) for digit in FONT.get(char, "")]

class Canvas:
    """Eight-bit grey, white paper."""

    def __init__(self, width, height, paper=255):
        self.width, self.height = width, height
        self.pixels = bytearray([paper]) * (width * height)

    def box(self, x, y, width, height, shade):
        for line in range(max(y, 0), min(y + height, self.height)):
            start = line * self.width + x
            self.pixels[start:start + width] = bytes([shade]) * width

    def text(self, x, y, scale, text, shade=20):
        for char in text:
            for n, bits in enumerate(glyph_rows(char)):
                for column in range(5):
                    if bits & (16 >> column):
                        self.box(x + column * scale, y + n * scale, scale, scale, shade)
            x += 6 * scale

def letter_canvas(d, width, height, scale, paper):
    canvas, left = Canvas(width, height, paper), 7 * scale * 4
    y = 14 * scale
    for line, size in [(d["organisation_row"]["name"], scale), (d["place"] or d["setting_code"]["display"], scale)]:
        canvas.text(left, y, size, line)
        y += 13 * scale
    canvas.box(left, y, width - 2 * left, scale, 60)
    y += 8 * scale
    for label, value in banner(d):
        canvas.text(left, y, scale, f"{label}: {value}")
        y += 13 * scale
    y += 13 * scale
    for line in d["text"].splitlines():
        canvas.text(left, y, scale, line)
        y += 14 * scale
    canvas.text(left, height - 24 * scale, scale, NOTICE, 90)
    noise = 2463534242
    for _ in range(width * height // 9000):                # dust of the scanner glass
        noise = (noise * 1664525 + 1013904223) & 0xFFFFFFFF
        position = noise % (width * height - 2)
        canvas.pixels[position] = 120
    return canvas

def packbits(data):
    out, at = bytearray(), 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run > 1:
            out += bytes([257 - run, data[at]])
            at += run
        else:
            end = at + 1
            while end < len(data) and end - at < 128 and (end + 1 >= len(data) or data[end] != data[end + 1]):
                end += 1
            out += bytes([end - at - 1]) + data[at:end]
            at = end
    return bytes(out)

def tiff(canvas, dpi):
    """Bilevel TIFF 6.0, PackBits, one strip for each 64 lines."""
    width, height, strips = canvas.width, canvas.height, []
    for top in range(0, height, 64):
        strip = bytearray()
        for line in range(top, min(top + 64, height)):
            pixels = canvas.pixels[line * width:(line + 1) * width] + bytes([255]) * (-width % 8)
            packed = bytes(sum((pixels[x + bit] < 128) << (7 - bit) for bit in range(8)) for x in range(0, len(pixels), 8))
            strip += packbits(packed)
        strips.append(bytes(strip))
    count, entries = len(strips), 12
    after = 8 + 2 + entries * 12 + 4
    data = after + 16 + 8 * count
    offsets, at = [], data
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    def field(tag, kind, number, value):
        return tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + number.to_bytes(4, "little") + value.to_bytes(4, "little")
    directory = b"".join([
        field(256, 4, 1, width), field(257, 4, 1, height), field(258, 3, 1, 1), field(259, 3, 1, 32773), field(262, 3, 1, 0),
        field(273, 4, count, after + 16), field(277, 3, 1, 1), field(278, 4, 1, 64), field(279, 4, count, after + 16 + 4 * count),
        field(282, 5, 1, after), field(283, 5, 1, after + 8), field(296, 3, 1, 2)])
    ratio = dpi.to_bytes(4, "little") + (1).to_bytes(4, "little")
    numbers = b"".join(n.to_bytes(4, "little") for n in offsets + [len(strip) for strip in strips])
    return b"II*\0" + (8).to_bytes(4, "little") + entries.to_bytes(2, "little") + directory + bytes(4) + ratio * 2 + numbers + b"".join(strips)

def cosines():
    from math import cos, pi, sqrt
    return [[round(8192 * (sqrt(0.125) if u == 0 else 0.5) * cos((2 * x + 1) * u * pi / 16)) for x in range(8)] for u in range(8)]

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))

def huffman(counts):
    """Code lengths of at most 16 bits, the all-ones code kept free as the standard asks: symbol -> (code, length)."""
    import heapq
    counts = dict(counts)
    while True:
        heap = [(count, symbol, [symbol]) for symbol, count in counts.items()] + [(0, 256, [256])]
        heapq.heapify(heap)
        lengths = dict.fromkeys(list(counts) + [256], 0)
        while len(heap) > 1:
            a, b = heapq.heappop(heap), heapq.heappop(heap)
            for symbol in a[2] + b[2]:
                lengths[symbol] += 1
            heapq.heappush(heap, (a[0] + b[0], min(a[1], b[1]), a[2] + b[2]))
        if max(lengths.values()) <= 16:
            break
        counts = {symbol: count // 2 + 1 for symbol, count in counts.items()}
    codes, value, previous = {}, 0, 0
    for symbol in sorted(lengths, key=lambda s: (lengths[s], s)):
        value <<= lengths[symbol] - previous
        previous = lengths[symbol]
        codes[symbol] = (value, previous)
        value += 1
    del codes[256]
    return codes

def jpeg(planes, width, height, base, step):
    """Baseline JPEG, one byte plane for each component (grey, or Y Cb Cr without subsampling)."""
    table, quant = cosines(), [base + step * (i // 8 + i % 8) for i in range(64)]
    across, down = -(-width // 8), -(-height // 8)
    def coefficients(plane, bx, by):
        block = []
        for y in range(8):
            start = min(by * 8 + y, height - 1) * width
            block.append([plane[start + min(bx * 8 + x, width - 1)] - 128 for x in range(8)])
        first = block[0][0]
        if all(value == first for line in block for value in line):
            out = [0] * 64
            out[0] = (abs(first) * 8 + quant[0] // 2) // quant[0] * (1 if first > 0 else -1)
            return out
        half = [[sum(table[u][x] * line[x] for x in range(8)) for u in range(8)] for line in block]
        out = []
        for i in ZIGZAG:
            v, u = i // 8, i % 8
            total = sum(table[v][y] * half[y][u] for y in range(8))
            scale = quant[i] << 26
            out.append((abs(total) + scale // 2) // scale * (1 if total > 0 else -1))
        return out
    tokens, last = [], [0] * len(planes)           # (is dc, symbol, extra bits, their count)
    def size(value):
        return abs(value).bit_length()
    def extra(value):
        return value if value >= 0 else value + (1 << size(value)) - 1
    for by in range(down):
        for bx in range(across):
            for c, plane in enumerate(planes):
                block = coefficients(plane, bx, by)
                difference, last[c] = block[0] - last[c], block[0]
                tokens.append((True, size(difference), extra(difference), size(difference)))
                run = 0
                end = max((n for n in range(1, 64) if block[n]), default=0)
                for value in block[1:end + 1]:
                    if not value:
                        run += 1
                        continue
                    while run > 15:
                        tokens.append((False, 0xF0, 0, 0))
                        run -= 16
                    tokens.append((False, run << 4 | size(value), extra(value), size(value)))
                    run = 0
                if end < 63:
                    tokens.append((False, 0, 0, 0))
    counts = ({}, {})
    for dc, symbol, _, _ in tokens:
        counts[0 if dc else 1][symbol] = counts[0 if dc else 1].get(symbol, 0) + 1
    codes = [huffman(counts[0]), huffman(counts[1])]
    out, bits, held = bytearray(), 0, 0
    def put(value, length):
        nonlocal bits, held
        bits, held = bits << length | value, held + length
        while held >= 8:
            byte = bits >> (held - 8) & 255
            out.append(byte)
            if byte == 255:
                out.append(0)
            held -= 8
            bits &= (1 << held) - 1
    for dc, symbol, value, length in tokens:
        put(*codes[0 if dc else 1][symbol])
        if length:
            put(value, length)
    if held:
        put((1 << (8 - held)) - 1, 8 - held)
    def segment(marker, body):
        return bytes([255, marker]) + (len(body) + 2).to_bytes(2, "big") + bytes(body)
    def table_of(kind, table_codes):
        order = sorted(table_codes, key=lambda s: (table_codes[s][1], table_codes[s][0]))
        return bytes([kind]) + bytes(sum(length == n for _, length in table_codes.values()) for n in range(1, 17)) + bytes(order)
    parts = range(1, len(planes) + 1)
    frame = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(planes)]) + b"".join(bytes([n, 0x11, 0]) for n in parts)
    scan = bytes([len(planes)]) + b"".join(bytes([n, 0]) for n in parts) + bytes([0, 63, 0])
    return (b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\1\1\0\x64\0\x64\0\0") + segment(0xFE, NOTICE.encode())
            + segment(0xDB, bytes([0]) + bytes(quant[i] for i in ZIGZAG)) + segment(0xC0, frame)
            + segment(0xC4, table_of(0x00, codes[0])) + segment(0xC4, table_of(0x10, codes[1])) + segment(0xDA, scan) + bytes(out) + b"\xff\xd9")

def photo(d):
    """Skin with paler leaf-shaped patches, a centimetre scale and the studio's label."""
    width, height = 560, 400
    macules = [(170, 130, 62, 24, 1), (330, 95, 40, 17, -1), (395, 215, 70, 28, 2), (225, 255, 34, 14, 0), (110, 230, 26, 12, -2)]
    planes = [bytearray(width * height) for _ in range(3)]
    label = Canvas(width, height, 0)
    label.text(24, 374, 2, f"LEFT THIGH  {d['when'][:10]}  SAMPLE {d['local']}", 255)
    for n in range(0, 41):
        label.box(40 + n * 12, 336, 2, 16 if n % 5 == 0 else 8, 255)
    for n in range(0, 41, 5):
        label.text(36 + n * 12, 356, 1, f"{n // 5}", 255)
    noise = 88172645
    for y in range(height):
        for x in range(width):
            at = y * width + x
            noise = (noise * 1664525 + 1013904223) & 0xFFFFFFFF
            light = 1000 - abs(y - 150) * 2 - abs(x - 260) // 3        # a limb, lit from above
            red, green, blue = 226 * light // 1000, 172 * light // 1000, 146 * light // 1000
            for cx, cy, a, b, slant in macules:
                dx, dy = x - cx, y - cy - (x - cx) * slant // 8
                narrow = max(b * (a + dx) // a, 1) if dx < 0 else b     # leaf: pointed at one end
                distance = dx * dx * 1000 // (a * a) + dy * dy * 1000 // (narrow * narrow)
                if abs(dx) < a and distance < 1000:
                    weight = min(1000 - distance, 350)
                    red, green, blue = red + 16 * weight // 350, green + 34 * weight // 350, blue + 40 * weight // 350
            grain = (noise >> 24) % 5 - 2
            red, green, blue = (max(0, min(255, value + grain)) for value in (red, green, blue))
            if y >= 328:
                red = green = blue = 245 - label.pixels[at] * 220 // 255
            planes[0][at] = max(0, min(255, (299 * red + 587 * green + 114 * blue) // 1000))
            planes[1][at] = max(0, min(255, 128 + (-169 * red - 331 * green + 500 * blue) // 1000))
            planes[2][at] = max(0, min(255, 128 + (500 * red - 419 * green - 81 * blue) // 1000))
    return jpeg(planes, width, height, 8, 4)

def scanned_jpeg(d):
    canvas = letter_canvas(d, 827, 1170, 2, 244)
    return jpeg([canvas.pixels], canvas.width, canvas.height, 14, 5)

WRITERS = {"pdf": pdf, "cda": cda, "xds-sd": xds_sd, "fhir": fhir, "hl7": hl7, "txt": plain, "kos": kos, "photo": photo,
           "jpeg": scanned_jpeg, "tiff": lambda d: tiff(letter_canvas(d, 1240, 1754, 3, 255), 150)}

# ---------------------------------------------------------------------------------------------
# federation.json, people.json, codes.xml

def federation():
    found = []
    for key, c in COMMUNITY.items():
        found.append({
            "key": key, "name": c["name"], "home_community_id": f"urn:oid:2.999.826.1.{c['number']}",
            "repository_unique_id": f"2.999.826.3.{c['number']}.1", "scope": c["scope"], "kind": c["kind"], "state": c["state"],
            "number": c["number"], "area_codes": c["area"],
            "organisations": [{"code": o["code"], "name": o["name"], "patient_domain": f"2.999.826.2.{o['arc']}", "source_id": f"2.999.826.4.{o['arc']}",
                               "telephone": o["phone"], "sites": [{"code": s, "name": n} for s, n in o["sites"].items()]}
                              for o in (ORGANISATION[m] for m in c["members"])]})
    return {"snapshot": "2026-04", "national_patient_domain": NHS_NUMBER, "communities": found}

def people():
    held = {}
    for person, org in LOCAL:
        held.setdefault(person, []).append(org)
    for d in DOCUMENTS:
        if d["organisation"] not in held.setdefault(d["person"], []):
            held[d["person"]].append(d["organisation"])
    found = {}
    for n, (key, p) in enumerate(PERSON.items(), 1):
        numbers = [] if not p["nhs_number"] else [{"value": p["nhs_number"], "status": "01", "from": None, "to": None}]
        names = [{"prefix": p["prefix"], "given": p["given"].split(" "), "family": p["family"], "from": None}]
        if key == "P06":
            numbers = [{"value": None, "status": "08", "from": "2026-02-20", "to": "2026-02-21"}, {"value": p["nhs_number"], "status": "01", "from": "2026-02-21", "to": None}]
        if key == "P18":
            numbers[0].update(status="superseded", to="2019-09-02")
        if key == "P19":
            numbers[0]["from"] = "2019-09-02"
            numbers.insert(0, {"value": PERSON["P18"]["nhs_number"], "status": "superseded", "from": None, "to": "2019-09-02"})
        local = PHONES.get(p["home"], "020 7946")
        reachable = p["address"] and "restricted" not in p["flags"]
        practice = next((o["code"] for o in ORGANISATION.values() if o["community"] == p["home"] and o["code"].startswith("ZZ99")), None)
        found[key] = {
            "nhs_number": p["nhs_number"], "nhs_numbers": numbers, "names": names, "dob": p["dob"], "sex": p["sex"],
            "address": p["address"], "telecom": {"phone": f"{local} {'0' if local.startswith('020') else '960'}{500 + n}", "email": f"{key.lower()}@example.org"} if reachable else None,
            "home_community": p["home"], "practice": practice if reachable else None, "flags": p["flags"],
            "deceased": "2026-01-12" if "deceased" in p["flags"] else None,
            "replaced_by": "P19" if key == "P18" else None,
            "local_identifiers": [{"value": local_number(key, org), "domain": f"2.999.826.2.{ORGANISATION[org]['arc']}", "organisation_code": org}
                                  for org in held.get(key, [])]}
    return found

PHONES = {key: "01632" for key in ("HWE", "MKU", "BLMK", "SNEE", "OXF", "GM", "WES")}

CODE_TYPES = [
    ("confidentialityCode", "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f", [(CONFIDENTIALITY, CONFIDENTIALITY_CODES)]),
    ("healthcareFacilityTypeCode", "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1", [(SNOMED, FACILITIES)]),
    ("eventCodeList", "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4", [(DICOM, MODALITIES), (LOINC, LOINC_PANELS), (SNOMED, SNOMED_EVENTS)]),
    ("practiceSettingCode", "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead", [(SNOMED, PRACTICE_SETTINGS)]),
    ("folderCodeList", "urn:uuid:1ba97051-7806-41a8-a48b-8fce7af683c5", [(LOCAL_FOLDER, FOLDER_CODES)]),
    ("associationDocumentation", "urn:uuid:abd807a3-4432-4053-87b4-fd82c643d1f3", [(LOCAL_ASSOCIATION, ASSOCIATION_CODES)]),
    ("typeCode", "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983", [(SNOMED, {v[1]: v[2] for v in DOCUMENT_KEYS.values()} | TYPE_ALIASES)]),
    ("contentTypeCode", "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500", [(SNOMED, CONTENT_TYPES)]),
    ("classCode", "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", [(SNOMED, CLASS_CODES)]),
    ("formatCode", "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
     [(IHE_FORMAT, FORMATS), (DICOM, {KOS_SOP_CLASS: "Key Object Selection Document"}), (LOCAL_FORMAT, {"nhs-itk-cda": "NHS ITK CDA"})]),
]

def codes_xml():
    out = ['<?xml version="1.0" encoding="UTF-8"?>', "<!-- Affinity domain codes, England. Written by samples/demo/make.py: change the tables there. -->", "<Codes>"]
    for name, uuid_, lists in CODE_TYPES:
        out.append(f'    <CodeType name="{name}" classScheme="{uuid_}">')
        for (oid, system), values in lists:
            for value, display in values.items():
                out.append(f'        <Code code="{value}" display={quoteattr(display)} codingScheme="{oid}" system="{system}"/>')
        out.append("    </CodeType>")
    out.append('    <CodeType name="mimeType">')
    out += [f'        <Code code="{mime}" ext="{extension}"/>' for mime, extension in MIME_TYPES.items()]
    out.append("    </CodeType>")
    out.append(f'    <AssigningAuthority id="&amp;{NHS_NUMBER}&amp;ISO" display="NHS number"/>')
    out += [f'    <AssigningAuthority id="&amp;2.999.826.2.{o["arc"]}&amp;ISO" display={quoteattr(o["name"])}/>' for o in ORGANISATION.values()]
    return "\n".join(out + ["</Codes>", ""])

def write_json(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

def make():
    folder = HERE / "documents"
    folder.mkdir(parents=True, exist_ok=True)
    write_json("federation.json", federation())
    write_json("people.json", people())
    write_json("documents.json", [row(d) for d in DOCUMENTS])
    (SAMPLES / "codes.xml").write_text(codes_xml(), encoding="utf-8")
    wanted = set()
    for d in DOCUMENTS:
        if d["fmt"] != "scan":
            (HERE / d["file"]).write_bytes(WRITERS[d["fmt"]](d))
            wanted.add(Path(d["file"]).name)
    for stale in folder.iterdir():
        if stale.name not in wanted:
            stale.unlink()
    FILES_RS.write_text(files_rs(wanted), encoding="utf-8")

def files_rs(names):
    """The table by which the program carries the documents."""
    out = ["//! The sample documents as the program carries them. Written by `samples/demo/make.py`.", "",
           "/// Name and bytes of each file below `samples/demo/documents/`, by name.",
           "#[rustfmt::skip]", "pub const FILES: &[(&str, &[u8])] = &["]
    out += [f'    ("{name}", include_bytes!("../../samples/demo/documents/{name}")),' for name in sorted(names)]
    return "\n".join(out + ["];", ""])

# ---------------------------------------------------------------------------------------------
# --check: reads only what was written

OID = re.compile(r"[012](\.(0|[1-9][0-9]*))+")
DTM = re.compile(r"\d{8}(\d{6})?")

def check_digit_holds(nhs):
    rest = 11 - sum(int(digit) * weight for digit, weight in zip(nhs, range(10, 1, -1))) % 11
    return len(nhs) == 10 and nhs.startswith("999") and rest % 11 == int(nhs[9])

def check_pdf(data):
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", data)[1])
    assert data.startswith(b"%PDF-1.4\n") and data[start:start + 5] == b"xref\n", "startxref"
    head, entries = data[start:].split(b"trailer", 1)[0].split(b"\n", 2)[1:]
    lines = [entries[n:n + 20] for n in range(0, len(entries), 20)]
    assert int(head.split()[1]) == len(lines) and all(len(line) == 20 for line in lines), "xref size"
    for number, line in enumerate(lines[1:], 1):
        offset = int(line[:10])
        assert data[offset:].startswith(b"%d 0 obj\n" % number), f"object {number}"
        stream = re.match(rb"\d+ 0 obj\n<< /Length (\d+) >>\nstream\n", data[offset:offset + 80])
        if stream:
            end = offset + stream.end() + int(stream[1])
            assert data[end:end + 10] == b"\nendstream", f"length of stream {number}"

def check_tiff(data):
    def number(at, size):
        return int.from_bytes(data[at:at + size], "little")
    assert data[:4] == b"II*\0", "TIFF header"
    at = number(4, 4)
    fields = {number(at + 2 + 12 * n, 2): (number(at + 6 + 12 * n, 4), number(at + 10 + 12 * n, 4)) for n in range(number(at, 2))}
    count, offsets = fields[273]
    sizes = fields[279][1]
    assert count == -(-fields[257][1] // fields[278][1]), "strip count"
    assert number(offsets + 4 * (count - 1), 4) + number(sizes + 4 * (count - 1), 4) == len(data), "strips fill the file"

def check_file(name, mime, data, d):
    if mime == "application/pdf":
        check_pdf(data)
    elif mime == "text/xml":
        root = ET.fromstring(data)
        assert root.tag == "{urn:hl7-org:v3}ClinicalDocument", "root element"
        assert root.find("{urn:hl7-org:v3}id").get("root") == d["unique_id"], "document id"
        inner = root.find(".//{urn:hl7-org:v3}nonXMLBody/{urn:hl7-org:v3}text")
        if inner is not None:
            check_pdf(base64.b64decode(inner.text))
    elif mime == "application/fhir+json":
        bundle = json.loads(data)
        assert bundle["type"] == "document" and bundle["entry"][0]["resource"]["resourceType"] == "Composition", "document bundle"
        known = {entry["fullUrl"] for entry in bundle["entry"]}
        used = set(re.findall(r'"reference": "([^"]+)"', data.decode("utf-8")))
        assert used <= known, "references"
        for entry in bundle["entry"]:
            for section in entry["resource"].get("section", []):
                ET.fromstring(section["text"]["div"])
    elif mime == "application/x-hl7":
        assert data.startswith(b"MSH|^~\\&|") and data.endswith(b"\r") and b"\n" not in data, "segments end in CR"
    elif mime == "text/plain":
        data.decode("utf-8")
    elif mime == "image/jpeg":
        assert data[:4] == b"\xff\xd8\xff\xe0" and data[-2:] == b"\xff\xd9", "JPEG markers"
    elif mime == "image/tiff":
        check_tiff(data)
    elif mime == "application/dicom":
        assert data[128:132] == b"DICM", "DICOM preamble"
    else:
        raise AssertionError("no check for this type")

def check():
    findings = []
    def hold(condition, text):
        if not condition:
            findings.append(text)
    codes, mimes = {}, set()
    for kind in ET.parse(SAMPLES / "codes.xml").getroot().iter("CodeType"):
        values = [(c.get("codingScheme"), c.get("code")) for c in kind]
        hold(len(values) == len(set(values)), f"codes.xml: {kind.get('name')} names a code twice")
        if kind.get("name") == "mimeType":
            mimes = {value for _, value in values}
        else:
            codes[kind.get("name")] = set(values)
    for key, (class_code, type_code, _, _, setting, facility, level) in DOCUMENT_KEYS.items():
        for kind, value in (("classCode", class_code), ("typeCode", type_code), ("practiceSettingCode", setting), ("healthcareFacilityTypeCode", facility)):
            hold((SNOMED[0], value) in codes[kind], f"{key}: {kind} {value} is not in codes.xml")
        hold((CONFIDENTIALITY[0], level) in codes["confidentialityCode"], f"{key}: confidentiality {level}")
    hold(len(DOCUMENT_KEYS) == 73, "73 document keys")
    load = lambda name: json.loads((HERE / name).read_text(encoding="utf-8"))
    communities = {c["key"]: c for c in load("federation.json")["communities"]}
    hold(sum(c["state"] == "live" for c in communities.values()) == 13, "13 live communities")
    everyone, documents = load("people.json"), load("documents.json")
    hold(len(everyone) == 32, "32 identities")
    for key, person in everyone.items():
        hold(person["nhs_number"] is None or check_digit_holds(person["nhs_number"]), f"{key}: NHS number")
    hold(len(documents) == 130, "130 documents")
    ids, hashes, total = set(), {}, 0
    for d in documents:
        name = f"{d['person']}-{d['number']}-{d['key']}"
        for field, kind in (("class_code", "classCode"), ("type_code", "typeCode"), ("format_code", "formatCode"), ("facility_type_code", "healthcareFacilityTypeCode"),
                            ("practice_setting_code", "practiceSettingCode"), ("confidentiality_code", "confidentialityCode"), ("content_type_code", "contentTypeCode")):
            hold((d[field]["scheme"], d[field]["code"]) in codes[kind], f"{name}: {field} is not in codes.xml")
        for event in d["event_codes"]:
            hold((event["scheme"], event["code"]) in codes["eventCodeList"], f"{name}: event code {event['code']}")
        hold(d["mime_type"] in mimes, f"{name}: {d['mime_type']} is not in codes.xml")
        hold(d["person"] in everyone and d["community"] in communities, f"{name}: unknown person or community")
        for field in ("unique_id", "submission_set_unique_id"):
            hold(OID.fullmatch(d[field]) and len(d[field]) <= 64, f"{name}: {field}")
            hold(d[field] not in ids, f"{name}: {field} is used twice")
            ids.add(d[field])
        hold(OID.fullmatch(d["source_id"]) and OID.fullmatch(d["local_patient_domain"]), f"{name}: OIDs")
        times = [d["creation_time"], d["service_start"]] + ([d["service_stop"]] if d["service_stop"] else [])
        hold(all(DTM.fullmatch(t) for t in times), f"{name}: times")
        hold(not d["service_stop"] or d["service_start"] <= d["service_stop"], f"{name}: service stops before it starts")
        hold(all(len(v) <= 256 for v in d["author"].values()), f"{name}: author")
        if d["file"].startswith("generated:"):
            continue
        path = HERE / d["file"]
        if not path.is_file():
            hold(False, f"{name}: {d['file']} is missing")
            continue
        data = path.read_bytes()
        total += len(data)
        digest = hashlib.sha1(data).hexdigest()
        hold(digest not in hashes, f"{name}: same bytes as {hashes.get(digest)}")
        hashes[digest] = name
        if d["person"] == "P17":
            hold(b"Example Row" not in data and b"9ZZ" not in data, f"{name}: a restricted person's address")
        try:
            check_file(name, d["mime_type"], data, d)
        except Exception as error:                                     # a check must name every finding
            hold(False, f"{name}: {type(error).__name__} {error}")
    hold(total <= 1_200_000, f"documents take {total} bytes, over 1.2 MB")
    stored = {Path(d["file"]).name for d in documents if not d["file"].startswith("generated:")}
    hold(FILES_RS.is_file() and FILES_RS.read_text(encoding="utf-8") == files_rs(stored), "src/demo/files.rs does not list the documents")
    for finding in findings:
        print("FAIL", finding)
    kinds = {}
    for d in documents:
        kinds[d["mime_type"]] = kinds.get(d["mime_type"], 0) + 1
    print(f"{len(documents)} documents, {total} bytes, {len(findings)} findings; " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    return not findings

if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if check() else 1)
    make()
