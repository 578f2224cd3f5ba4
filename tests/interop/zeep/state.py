"""What the checks share: the clients, the transactions, and what has been submitted so far."""

import json
from pathlib import Path

import requests

from client import Service
from metadata import APPROVED, Submission, slot

# ITI TF-2 §3.18.4.1.2.4: the stored queries.
FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
FIND_SUBMISSION_SETS = "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9"
GET_ALL = "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"
GET_DOCUMENTS = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
GET_SUBMISSION_SET_AND_CONTENTS = "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83"
# Every octet, line ends, and what looks like the start of a boundary; a line end comes last.
CONTENT = b"%PDF-1.7\n%" + bytes(range(256)) + b"\r\n--\r\n--=_\r\n--MIMEBoundary\r\n\r\n%%EOF\r\n"


class State:
    """One run against one broker."""

    def __init__(self, options):
        self.options = options
        self.codes = json.loads(Path(options.codes).read_text(encoding="utf-8"))
        self.patient = options.patient
        self.session = requests.Session()
        self.session.cert = (options.cert, options.key)
        self.session.verify = options.ca
        # Proxies and certificate bundles of the environment have no say here.
        self.session.trust_env = False
        self.services = {}
        self.kept = {}

    def service(self, name):
        if name not in self.services:
            self.services[name] = Service(self.options.base, name, self.session)
        return self.services[name]

    def submission(self, content=CONTENT, **more):
        return Submission(self.patient, dict(self.codes), content, **more)

    def keep(self, name, value):
        self.kept[name] = value

    def recall(self, name):
        assert name in self.kept, f"needs {name}, whose check failed"
        return self.kept[name]

    # Transactions

    def register(self, submission):
        submission.with_repository(self.options.repository)
        return self.service("registry").call(
            "RegisterDocumentSet-b", RegistryObjectList=submission.objects()
        )

    def provide(self, submission, documents=None):
        if documents is None:
            documents = [{"id": "doc", "_value_1": submission.content}]
        return self.service("repository").call(
            "ProvideAndRegisterDocumentSet-b",
            SubmitObjectsRequest={"RegistryObjectList": submission.objects()},
            Document=documents,
        )

    def query(self, query, *parameters, at="registry", home=None, returns="LeafClass"):
        transaction = "CrossGatewayQuery" if at == "responding-gateway" else "RegistryStoredQuery"
        return self.service(at).call(
            transaction,
            ResponseOption={"returnType": returns, "returnComposedObjects": True},
            AdhocQuery={"id": query, "home": home, "Slot": list(parameters)},
        )

    def find(self, *more, status=APPROVED, **options):
        return self.query(
            FIND_DOCUMENTS,
            slot("$XDSDocumentEntryPatientId", quoted(self.patient)),
            slot("$XDSDocumentEntryStatus", listed(status)),
            *more,
            **options,
        )

    def get(self, unique_id, **options):
        unique_ids = slot("$XDSDocumentEntryUniqueId", listed(unique_id))
        return self.query(GET_DOCUMENTS, unique_ids, **options)

    def retrieve(self, *unique_ids, at="repository", home=None, repository=None):
        transaction = "RetrieveDocumentSet"
        if at == "responding-gateway":
            transaction = "CrossGatewayRetrieve"
        wanted = [
            {
                "HomeCommunityId": home,
                "RepositoryUniqueId": repository or self.options.repository,
                "DocumentUniqueId": unique_id,
            }
            for unique_id in unique_ids
        ]
        with self.service(at).mtom():
            return self.service(at).call(transaction, DocumentRequest=wanted)


def quoted(value):
    """A string of a stored query (ITI TF-2 §3.18.4.1.2.3.5)."""
    return "'" + value.replace("'", "''") + "'"


def listed(*values):
    return "(" + ",".join(map(quoted, values)) + ")"
