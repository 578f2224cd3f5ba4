"""Document sharing metadata: what the suite submits, and how it reads what comes back.

Submissions are plain dictionaries in the shape of the schema types, which zeep turns into XML.
"""

import hashlib
import uuid
from datetime import datetime, timezone

STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
SUBMISSION_SET = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
DEPRECATED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
RPLC = "urn:ihe:iti:2007:AssociationType:RPLC"

# ITI TF-3 §4.2.5.1: classification schemes.
DE_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
SS_CONTENT_TYPE = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
DE_CODES = {
    "classCode": "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a",
    "confidentialityCode": "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f",
    "formatCode": "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
    "healthcareFacilityTypeCode": "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
    "practiceSettingCode": "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead",
    "typeCode": "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983",
}

# ITI TF-3 §4.2.5.2: external identifier schemes.
DE_PATIENT_ID = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
DE_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
SS_PATIENT_ID = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
SS_SOURCE_ID = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
SS_UNIQUE_ID = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"

SOURCE_ID = "2.999.826.4.11.1"


def new_oid():
    """An OID no one else has (X.667: the arc of UUIDs)."""
    return f"2.25.{uuid.uuid4().int}"


def slot(name, *values):
    return {"name": name, "ValueList": {"Value": list(values)}}


def text(value):
    return {"LocalizedString": [{"value": value, "lang": "en-GB"}]}


def code(owner, scheme, triple):
    value, coding_scheme, display = triple
    return {
        "id": f"{owner}-{scheme[9:17]}",
        "classificationScheme": scheme,
        "classifiedObject": owner,
        "nodeRepresentation": value,
        "Slot": [slot("codingScheme", coding_scheme)],
        "Name": text(display),
    }


def identifier(owner, scheme, value, name):
    return {
        "id": f"{owner}-{scheme[9:17]}",
        "registryObject": owner,
        "identificationScheme": scheme,
        "value": value,
        "Name": text(name),
    }


class Submission:
    """One SubmissionSet with one DocumentEntry, and optionally the entry it replaces."""

    def __init__(self, patient, codes, content, replaces=None):
        self.content = content
        self.codes = codes
        self.unique_id = new_oid()
        self.set_unique_id = new_oid()
        self.patient = patient
        self.set_patient = patient
        self.title = "Discharge summary – ward 7 & clinic <2>"
        self.replaces = replaces
        self.slots = {
            "creationTime": ["20260311094500"],
            "languageCode": ["en-GB"],
            "serviceStartTime": ["202603110900"],
            "serviceStopTime": ["202603110930"],
            "sourcePatientId": ["W-0042^^^&2.999.826.2.11.1&ISO"],
            "sourcePatientInfo": ["PID-5|Sampleton^Ada^^^", "PID-7|19720604", "PID-8|F"],
        }
        self.author = {
            "authorPerson": ["7719^Lindqvist^Per^^^Dr^^^&2.999.826.4.11&ISO"],
            "authorInstitution": ["North Ward Hospital^^^^^^^^^2.999.826.4.11.7"],
        }

    @property
    def sha1(self):
        return hashlib.sha1(self.content).hexdigest()

    def with_repository(self, repository):
        """Adds what a repository adds before it registers: a source of ITI-42 stands in for one."""
        self.slots["hash"] = [self.sha1]
        self.slots["size"] = [str(len(self.content))]
        self.slots["repositoryUniqueId"] = [repository]
        return self

    def document_entry(self):
        author = {
            "id": "doc-author",
            "classificationScheme": DE_AUTHOR,
            "classifiedObject": "doc",
            "nodeRepresentation": "",
            "Slot": [slot(name, *values) for name, values in self.author.items()],
        }
        codes = [
            code("doc", scheme, self.codes[name])
            for name, scheme in DE_CODES.items()
            if name in self.codes
        ]
        return {
            "id": "doc",
            "mimeType": self.codes["mimeType"],
            "objectType": STABLE,
            "Slot": [slot(name, *values) for name, values in self.slots.items()],
            "Name": text(self.title),
            "Classification": [author, *codes],
            "ExternalIdentifier": [
                identifier("doc", DE_PATIENT_ID, self.patient, "XDSDocumentEntry.patientId"),
                identifier("doc", DE_UNIQUE_ID, self.unique_id, "XDSDocumentEntry.uniqueId"),
            ],
        }

    def submission_set(self):
        now = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S")
        node = {"id": "set-node", "classificationNode": SUBMISSION_SET, "classifiedObject": "set"}
        return {
            "id": "set",
            "Slot": [slot("submissionTime", now)],
            "Classification": [
                node,
                code("set", SS_CONTENT_TYPE, self.codes["contentTypeCode"]),
            ],
            "ExternalIdentifier": [
                identifier("set", SS_PATIENT_ID, self.set_patient, "XDSSubmissionSet.patientId"),
                identifier("set", SS_SOURCE_ID, SOURCE_ID, "XDSSubmissionSet.sourceId"),
                identifier("set", SS_UNIQUE_ID, self.set_unique_id, "XDSSubmissionSet.uniqueId"),
            ],
        }

    def objects(self):
        """The RegistryObjectList of the submission."""
        members = [
            {"ExtrinsicObject": self.document_entry()},
            {"RegistryPackage": self.submission_set()},
            {
                "Association": {
                    "id": "member",
                    "associationType": HAS_MEMBER,
                    "sourceObject": "set",
                    "targetObject": "doc",
                    "Slot": [slot("SubmissionSetStatus", "Original")],
                }
            },
        ]
        if self.replaces:
            replacement = {
                "id": "replacement",
                "associationType": RPLC,
                "sourceObject": "doc",
                "targetObject": self.replaces,
            }
            members.append({"Association": replacement})
        return {"_value_1": members}


def members(answer, kind=None):
    """The registry objects of a query answer as (kind, object), all or of one kind."""
    objects = answer.RegistryObjectList
    found = []
    for member in (objects and objects["_value_1"]) or []:
        found.extend((name, value) for name, value in member.items() if value is not None)
    return found if kind is None else [value for name, value in found if name == kind]


def slots(registry_object):
    return {s.name: list(s.ValueList.Value) for s in registry_object.Slot}


def identifiers(registry_object):
    return {i.identificationScheme: i.value for i in registry_object.ExternalIdentifier}


def name_of(registry_object):
    name = registry_object.Name
    return name.LocalizedString[0].value if name and name.LocalizedString else None


def codes_of(registry_object):
    """Classification scheme → (code, coding scheme, display name)."""
    found = {}
    for c in registry_object.Classification:
        scheme = slots(c).get("codingScheme")
        if scheme:
            found[c.classificationScheme] = (c.nodeRepresentation, scheme[0], name_of(c))
    return found


def errors(answer):
    """The registry errors of an answer, of a query or of a submission."""
    found = answer.RegistryErrorList
    return list(found.RegistryError) if found else []


def differences(entry, submission, repository):
    """What a returned DocumentEntry does not say as it was submitted."""
    wrong = []

    def same(what, got, wanted):
        if got != wanted:
            wrong.append(f"{what}: {got!r}, submitted {wanted!r}")

    wanted = dict(
        submission.slots,
        hash=[submission.sha1],
        size=[str(len(submission.content))],
        repositoryUniqueId=[repository],
    )
    got = slots(entry)
    got["hash"] = [value.lower() for value in got.get("hash", [])]
    for name, values in wanted.items():
        same(name, got.get(name), values)
    got_codes = codes_of(entry)
    for name, scheme in DE_CODES.items():
        same(name, got_codes.get(scheme), tuple(submission.codes[name]))
    authors = [c for c in entry.Classification if c.classificationScheme == DE_AUTHOR]
    same("author", [slots(a) for a in authors], [submission.author])
    ids = identifiers(entry)
    same("patientId", ids.get(DE_PATIENT_ID), submission.patient)
    same("uniqueId", ids.get(DE_UNIQUE_ID), submission.unique_id)
    same("title", name_of(entry), submission.title)
    same("mimeType", entry.mimeType, submission.codes["mimeType"])
    same("objectType", entry.objectType, STABLE)
    if not (entry.id or "").startswith("urn:uuid:"):
        wrong.append(f"entryUUID: {entry.id!r}")
    for part in (*entry.Classification, *entry.ExternalIdentifier):
        owner = getattr(part, "classifiedObject", None) or getattr(part, "registryObject", None)
        same("owner of " + part.id, owner, entry.id)
    return wrong
