#!/usr/bin/env python3
"""A foreign client against the broker: zeep, generated from the WSDL that the broker serves.

    suite.py --base https://127.0.0.1:8443/services \\
        --cert client.pem --key client.key --ca ca.pem \\
        --home urn:oid:2.999.826.1.1 --repository 2.999.826.3.1.1 \\
        --patient '9990010013^^^&2.16.840.1.113883.2.1.4.1&ISO' [--codes codes.json]

Prints `ok NAME` or `FAIL NAME reason` for each check. The checks run in order and build upon each
other's submissions; every run submits under identifiers of its own, so a store can be used again.
"""

import argparse
import sys
from pathlib import Path

import requests

from client import drop_action, reply_to_anonymous, set_action, unknown_header
from judge import (
    PARTIAL,
    as_submitted,
    entry_of,
    fails,
    faults,
    holds_documents,
    homes,
    names_error,
    succeeds,
)
from metadata import (
    APPROVED,
    DE_UNIQUE_ID,
    DEPRECATED,
    HAS_MEMBER,
    RPLC,
    SOURCE_ID,
    SS_CONTENT_TYPE,
    SS_PATIENT_ID,
    SS_SOURCE_ID,
    SS_UNIQUE_ID,
    Submission,
    codes_of,
    errors,
    identifiers,
    members,
    new_oid,
    slot,
    slots,
)
from state import (
    CONTENT,
    FIND_DOCUMENTS,
    FIND_SUBMISSION_SETS,
    GET_ALL,
    GET_DOCUMENTS,
    GET_SUBMISSION_SET_AND_CONTENTS,
    State,
    listed,
    quoted,
)

NO_SUCH_QUERY = "urn:uuid:00000000-0000-4000-8000-000000000000"

# The home of no community: the arc is for examples.
FOREIGN_HOME = "urn:oid:2.999.826.1.999999"

SERVICES = {
    "registry": {
        "DocumentRegistry_RegisterDocumentSet-b": "urn:ihe:iti:2007:RegisterDocumentSet-b",
        "DocumentRegistry_RegistryStoredQuery": "urn:ihe:iti:2007:RegistryStoredQuery",
        "DocumentRegistry_MultiPatientStoredQuery": "urn:ihe:iti:2009:MultiPatientStoredQuery",
        "DocumentRegistry_UpdateDocumentSet": "urn:ihe:iti:2010:UpdateDocumentSet",
        "DocumentRegistry_RegisterOnDemandDocumentEntry": (
            "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry"
        ),
        "DocumentRegistry_DeleteDocumentSet": "urn:ihe:iti:2010:DeleteDocumentSet",
        "UpdateResponder_RestrictedUpdateDocumentSet": (
            "urn:ihe:iti:2018:RestrictedUpdateDocumentSet"
        ),
    },
    "repository": {
        "DocumentRepository_ProvideAndRegisterDocumentSet-b": (
            "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"
        ),
        "DocumentRepository_RetrieveDocumentSet": "urn:ihe:iti:2007:RetrieveDocumentSet",
        "DocumentRepository_RemoveDocuments": "urn:ihe:iti:2017:RemoveDocuments",
    },
    "initiating-gateway": {
        "InitiatingGateway_RegistryStoredQuery": "urn:ihe:iti:2007:RegistryStoredQuery",
        "InitiatingGateway_RetrieveDocumentSet": "urn:ihe:iti:2007:RetrieveDocumentSet",
        "InitiatingGateway_ProvideAndRegisterDocumentSet-b": (
            "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"
        ),
        "InitiatingGateway_CrossGatewayFetch": "urn:ihe:iti:2011:CrossGatewayFetch",
    },
    "responding-gateway": {
        "RespondingGateway_CrossGatewayQuery": "urn:ihe:iti:2007:CrossGatewayQuery",
        "RespondingGateway_CrossGatewayRetrieve": "urn:ihe:iti:2007:CrossGatewayRetrieve",
        "RespondingGateway_PRPA_IN201305UV02": (
            "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery"
        ),
        "RespondingGateway_Deferred_PRPA_IN201305UV02": (
            "urn:hl7-org:v3:PRPA_IN201305UV02:Deferred:CrossGatewayPatientDiscovery"
        ),
        "RespondingGateway_PRPA_IN201303UV02": (
            "urn:hl7-org:v3:PRPA_IN201303UV02:CrossGatewayPatientDiscovery"
        ),
        "RespondingGateway_PatientLocationQuery": "urn:ihe:iti:2009:PatientLocationQuery",
        "RespondingGateway_CrossGatewayFetch": "urn:ihe:iti:2011:CrossGatewayFetch",
        "RespondingGateway_CrossGatewayDocumentProvide": (
            "urn:ihe:iti:2015:CrossGatewayDocumentProvide"
        ),
        "UpdateResponder_RestrictedUpdateDocumentSet": (
            "urn:ihe:iti:2018:RestrictedUpdateDocumentSet"
        ),
    },
}

CHECKS = []


def check(function):
    """Registers a check; its name in the report is the function's."""
    CHECKS.append((function.__name__.replace("_", "-"), function))
    return function


# Transport and description


@check
def tls_client_certificate_required(state):
    stranger = requests.Session()
    stranger.verify, stranger.trust_env = state.options.ca, False
    try:
        answer = stranger.get(f"{state.options.base}/registry?wsdl", timeout=30)
    except requests.exceptions.ConnectionError:
        return
    raise AssertionError(f"HTTP {answer.status_code} without a client certificate")


def describe(name):
    def described(state):
        service = state.service(name)
        address = service.port.binding_options["address"]
        assert address == service.address, f"address {address}"
        got = {n: o.abstract.wsa_action for n, o in service.operations.items()}
        assert got == SERVICES[name], f"operations {got}"

    described.__name__ = f"wsdl_{name}"
    return described


for service_name in SERVICES:
    check(describe(service_name))


# ITI-42 and ITI-18


@check
def iti42_register(state):
    submission = state.submission()
    succeeds(state.register(submission))
    state.keep("registered", submission)


@check
def iti18_find_documents_leafclass(state):
    submission = state.recall("registered")
    answer = state.find()
    succeeds(answer)
    entry = entry_of(answer, submission.unique_id)
    as_submitted(entry, submission, state)
    state.keep("entry", entry.id)


@check
def iti18_find_documents_objectref(state):
    entry = state.recall("entry")
    answer = state.find(returns="ObjectRef")
    succeeds(answer)
    kinds = {kind for kind, _ in members(answer)}
    assert kinds == {"ObjectRef"}, f"returned {sorted(kinds)}"
    assert entry in [r.id for r in members(answer, "ObjectRef")], "the entry is missing"


@check
def iti18_find_documents_by_codes_and_time(state):
    submission = state.recall("registered")
    value, scheme, _ = state.codes["classCode"]
    narrow = [
        slot("$XDSDocumentEntryClassCode", listed(f"{value}^^{scheme}")),
        slot("$XDSDocumentEntryCreationTimeFrom", "20260311"),
        slot("$XDSDocumentEntryCreationTimeTo", "20260312"),
        slot("$XDSDocumentEntryAuthorPerson", listed("%Lindqvist%")),
    ]
    answer = state.find(*narrow)
    succeeds(answer)
    entry_of(answer, submission.unique_id)
    narrow[0] = slot("$XDSDocumentEntryClassCode", listed(f"none-such^^{scheme}"))
    answer = state.find(*narrow)
    succeeds(answer)
    assert not members(answer), "entries of another class"


@check
def iti18_get_documents(state):
    submission, entry = state.recall("registered"), state.recall("entry")
    answer = state.query(GET_DOCUMENTS, slot("$XDSDocumentEntryEntryUUID", listed(entry)))
    succeeds(answer)
    as_submitted(entry_of(answer, submission.unique_id), submission, state)
    answer = state.get(submission.unique_id)
    succeeds(answer)
    assert entry_of(answer, submission.unique_id).id == entry, "another entryUUID"


@check
def iti18_get_documents_unknown(state):
    answer = state.get(new_oid())
    succeeds(answer)
    assert not members(answer), "something was found"


@check
def iti18_find_submission_sets(state):
    submission = state.recall("registered")
    answer = state.query(
        FIND_SUBMISSION_SETS,
        slot("$XDSSubmissionSetPatientId", quoted(state.patient)),
        slot("$XDSSubmissionSetStatus", listed(APPROVED)),
        slot("$XDSSubmissionSetSourceId", listed(SOURCE_ID)),
    )
    succeeds(answer)
    found = {identifiers(s).get(SS_UNIQUE_ID): s for s in members(answer, "RegistryPackage")}
    assert submission.set_unique_id in found, "the SubmissionSet is missing"
    package = found[submission.set_unique_id]
    ids = identifiers(package)
    assert ids.get(SS_PATIENT_ID) == state.patient, "another patientId"
    assert ids.get(SS_SOURCE_ID) == SOURCE_ID, "another sourceId"
    assert package.status == APPROVED, f"status {package.status}"
    wanted = tuple(state.codes["contentTypeCode"])
    got = codes_of(package).get(SS_CONTENT_TYPE)
    assert got == wanted, f"contentTypeCode {got}, submitted {wanted}"
    assert "submissionTime" in slots(package), "no submissionTime"
    state.keep("set", package.id)


@check
def iti18_get_submission_set_and_contents(state):
    submission, entry, package = map(state.recall, ("registered", "entry", "set"))
    answer = state.query(
        GET_SUBMISSION_SET_AND_CONTENTS, slot("$XDSSubmissionSetEntryUUID", quoted(package))
    )
    succeeds(answer)
    kinds = sorted(kind for kind, _ in members(answer))
    assert kinds == ["Association", "ExtrinsicObject", "RegistryPackage"], f"returned {kinds}"
    as_submitted(entry_of(answer, submission.unique_id), submission, state)
    [link] = members(answer, "Association")
    got = (link.associationType, link.sourceObject, link.targetObject)
    assert got == (HAS_MEMBER, package, entry), f"association {got}"
    assert slots(link).get("SubmissionSetStatus") == ["Original"], "no SubmissionSetStatus"


@check
def iti18_get_all(state):
    submission, entry, package = map(state.recall, ("registered", "entry", "set"))
    answer = state.query(
        GET_ALL,
        slot("$patientId", quoted(state.patient)),
        slot("$XDSDocumentEntryStatus", listed(APPROVED)),
        slot("$XDSSubmissionSetStatus", listed(APPROVED)),
        slot("$XDSFolderStatus", listed(APPROVED)),
    )
    succeeds(answer)
    as_submitted(entry_of(answer, submission.unique_id), submission, state)
    assert package in [p.id for p in members(answer, "RegistryPackage")], "no SubmissionSet"
    links = [(a.sourceObject, a.targetObject) for a in members(answer, "Association")]
    assert (package, entry) in links, "no HasMember association"


@check
def iti42_replace(state):
    old, entry = state.recall("registered"), state.recall("entry")
    new = state.submission(content=b"%PDF-1.7\namended\n", replaces=entry)
    succeeds(state.register(new))
    current = state.find()
    succeeds(current)
    as_submitted(entry_of(current, new.unique_id), new, state)
    found = [identifiers(e).get(DE_UNIQUE_ID) for e in members(current, "ExtrinsicObject")]
    assert old.unique_id not in found, "the replaced entry is still Approved"
    past = state.find(status=DEPRECATED)
    succeeds(past)
    as_submitted(entry_of(past, old.unique_id), old, state, status=DEPRECATED)
    state.keep("replaced", new)


@check
def iti18_get_all_after_replace(state):
    entry, new = state.recall("entry"), state.recall("replaced")
    answer = state.query(
        GET_ALL,
        slot("$patientId", quoted(state.patient)),
        slot("$XDSDocumentEntryStatus", listed(APPROVED, DEPRECATED)),
        slot("$XDSSubmissionSetStatus", listed(APPROVED)),
        slot("$XDSFolderStatus", listed(APPROVED)),
    )
    succeeds(answer)
    new_entry = entry_of(answer, new.unique_id).id
    links = [
        (a.associationType, a.sourceObject, a.targetObject) for a in members(answer, "Association")
    ]
    assert (RPLC, new_entry, entry) in links, "no RPLC association from new to old"


@check
def iti42_replace_deprecated_refused(state):
    state.recall("replaced")
    again = state.submission(replaces=state.recall("entry"))
    fails(state.register(again), "XDSRegistryDeprecatedDocumentError")
    assert not members(state.get(again.unique_id)), "a refused submission was stored"


# ITI-42 and ITI-18: what is refused


@check
def iti42_malformed_patient_id(state):
    submission = state.submission()
    submission.patient = submission.set_patient = "no patient identifier"
    fails(state.register(submission), "XDSRegistryMetadataError")


@check
def iti42_missing_attribute(state):
    submission = state.submission()
    del submission.slots["creationTime"]
    del submission.codes["typeCode"]
    answer = state.register(submission)
    fails(answer, "XDSRegistryMetadataError")
    told = " ".join(e.codeContext for e in errors(answer))
    missing = [name for name in ("creationTime", "typeCode") if name not in told]
    assert not missing, f"codeContext does not name {missing}"
    assert not members(state.get(submission.unique_id)), "a refused submission was stored"


@check
def iti42_patients_differ(state):
    submission = state.submission()
    submission.set_patient = "other-1^^^" + state.patient.split("^^^", 1)[1]
    fails(state.register(submission), "XDSPatientIdDoesNotMatch")


@check
def iti42_duplicate_submission_set(state):
    submission = state.submission()
    submission.set_unique_id = state.recall("registered").set_unique_id
    fails(state.register(submission), "XDSDuplicateUniqueIdInRegistry")


@check
def iti42_same_document_other_hash(state):
    submission = state.submission(content=b"%PDF-1.7\nanother document\n")
    submission.unique_id = state.recall("registered").unique_id
    fails(state.register(submission), "XDSNonIdenticalHash")


@check
def iti42_unresolved_replacement(state):
    submission = state.submission(replaces="urn:uuid:00000000-0000-4000-8000-000000000001")
    fails(state.register(submission), "UnresolvedReferenceException")


@check
def iti18_unknown_stored_query(state):
    parameter = slot("$XDSDocumentEntryPatientId", quoted(state.patient))
    fails(state.query(NO_SUCH_QUERY, parameter), "XDSUnknownStoredQuery")


@check
def iti18_missing_parameter(state):
    status = slot("$XDSDocumentEntryStatus", listed(APPROVED))
    fails(state.query(FIND_DOCUMENTS, status), "XDSStoredQueryMissingParam")


# WS-Addressing


@check
def wsa_reply_to_anonymous(state):
    with state.service("registry").altered(reply_to_anonymous):
        succeeds(state.get(new_oid()))


@check
def wsa_unknown_action_faults(state):
    service = state.service("registry")
    with service.altered(set_action("urn:example:no-such-action")):
        faults(service, "RegistryStoredQuery", "ActionNotSupported")


@check
def wsa_action_of_another_body_faults(state):
    service = state.service("registry")
    with service.altered(set_action("urn:ihe:iti:2007:RegisterDocumentSet-b")):
        faults(service, "RegistryStoredQuery")


@check
def wsa_missing_action_faults(state):
    service = state.service("registry")
    with service.altered(drop_action):
        faults(service, "RegistryStoredQuery", "MessageAddressingHeaderRequired")


@check
def soap_must_understand_faults(state):
    service = state.service("registry")
    with service.altered(unknown_header):
        faults(service, "RegistryStoredQuery", status=500, code="MustUnderstand")


# ITI-41 and ITI-43


def provided(state, submission):
    """A provided document is findable, with the repository's own hash, size and identifier."""
    answer = state.get(submission.unique_id)
    succeeds(answer)
    as_submitted(entry_of(answer, submission.unique_id), submission, state)


@check
def iti41_inline_base64(state):
    submission = state.submission()
    succeeds(state.provide(submission))
    provided(state, submission)
    state.keep("inline", submission)


@check
def iti41_mtom(state):
    submission = state.submission(content=CONTENT * 2000)
    with state.service("repository").mtom():
        succeeds(state.provide(submission))
    provided(state, submission)
    state.keep("mtom", submission)


@check
def iti43_retrieve(state):
    both = [state.recall("inline"), state.recall("mtom")]
    answer = state.retrieve(*(s.unique_id for s in both))
    succeeds(answer.RegistryResponse)
    wanted = {s.unique_id: (s.content, state.codes["mimeType"]) for s in both}
    holds_documents(state.service("repository"), answer, wanted)
    assert not any(d.HomeCommunityId for d in answer.DocumentResponse), "a home nobody named"


@check
def iti43_retrieve_hash(state):
    submission = state.recall("mtom")
    entry = entry_of(state.get(submission.unique_id), submission.unique_id)
    state.retrieve(submission.unique_id)
    [content] = state.service("repository").wire.document_bytes()
    got = Submission(state.patient, state.codes, content)
    said = slots(entry)
    assert [got.sha1] == [h.lower() for h in said["hash"]], "hash of another document"
    assert [str(len(content))] == said["size"], "size of another document"


@check
def iti43_simple_soap_request(state):
    """Neither packaging is wrong as an answer here; the bytes must be right."""
    submission, service = state.recall("inline"), state.service("repository")
    answer = service.call(
        "RetrieveDocumentSet",
        DocumentRequest=[
            {
                "RepositoryUniqueId": state.options.repository,
                "DocumentUniqueId": submission.unique_id,
            }
        ],
    )
    succeeds(answer.RegistryResponse)
    if service.wire.content_type.lower().startswith("multipart/related"):
        [content] = service.wire.document_bytes()
    else:
        [content] = [d.Document for d in answer.DocumentResponse]
    assert content == submission.content, "the bytes differ"


@check
def iti43_partial_success(state):
    submission, missing = state.recall("inline"), new_oid()
    answer = state.retrieve(submission.unique_id, missing)
    response = answer.RegistryResponse
    assert response.status == PARTIAL, f"status {response.status}"
    names_error(response, "XDSDocumentUniqueIdError", location=missing)
    got = [d.DocumentUniqueId for d in answer.DocumentResponse]
    assert got == [submission.unique_id], f"{len(got)} documents"


@check
def iti43_unknown_document(state):
    missing = new_oid()
    answer = state.retrieve(missing)
    fails(answer.RegistryResponse, "XDSDocumentUniqueIdError", location=missing)
    assert not answer.DocumentResponse, "a document was returned"


@check
def iti43_unknown_repository(state):
    submission = state.recall("inline")
    answer = state.retrieve(submission.unique_id, repository="2.999.826.3.999999")
    fails(answer.RegistryResponse, "XDSUnknownRepositoryId")


@check
def iti41_missing_document(state):
    submission = state.submission()
    fails(state.provide(submission, documents=[]), "XDSMissingDocument")


@check
def iti41_missing_metadata(state):
    submission = state.submission()
    documents = [{"id": i, "_value_1": submission.content} for i in ("doc", "nobody")]
    fails(state.provide(submission, documents), "XDSMissingDocumentMetadata")
    assert not members(state.get(submission.unique_id)), "a refused submission was stored"


@check
def iti41_wrong_hash(state):
    submission = state.submission()
    submission.slots["hash"] = ["0" * 40]
    fails(state.provide(submission), "XDSRepositoryMetadataError")
    fails(state.retrieve(submission.unique_id).RegistryResponse, "XDSDocumentUniqueIdError")


@check
def iti41_missing_attribute(state):
    submission = state.submission()
    del submission.codes["classCode"]
    fails(state.provide(submission), "XDSRegistryMetadataError")


@check
def iti41_replace(state):
    old = state.submission(content=b"%PDF-1.7\nfirst\n")
    succeeds(state.provide(old))
    entry = entry_of(state.get(old.unique_id), old.unique_id).id
    new = state.submission(content=b"%PDF-1.7\nsecond\n", replaces=entry)
    succeeds(state.provide(new))
    as_submitted(entry_of(state.get(old.unique_id), old.unique_id), old, state, status=DEPRECATED)
    # A replaced document stays retrievable (ITI TF-2 §3.43.4.1.3).
    answer = state.retrieve(old.unique_id, new.unique_id)
    succeeds(answer.RegistryResponse)
    wanted = {s.unique_id: (s.content, state.codes["mimeType"]) for s in (old, new)}
    holds_documents(state.service("repository"), answer, wanted)


# Gateways


def gateway_find(state, at):
    submission, home = state.recall("inline"), state.options.home
    answer = state.find(at=at)
    succeeds(answer)
    as_submitted(entry_of(answer, submission.unique_id), submission, state)
    entry = entry_of(answer, submission.unique_id)
    assert entry.home == home, f"home {entry.home!r}"
    references = state.find(at=at, returns="ObjectRef")
    succeeds(references)
    [reference] = [r for r in members(references, "ObjectRef") if r.id == entry.id]
    assert reference.home == home, f"ObjectRef has home {reference.home!r}"
    return answer, references


def gateway_get(state, at):
    submission, home = state.recall("inline"), state.options.home
    answer = state.get(submission.unique_id, at=at, home=home)
    succeeds(answer)
    as_submitted(entry_of(answer, submission.unique_id), submission, state)
    homes(answer, home)


def gateway_retrieve(state, at):
    submission, home = state.recall("mtom"), state.options.home
    answer = state.retrieve(submission.unique_id, at=at, home=home)
    succeeds(answer.RegistryResponse)
    wanted = {submission.unique_id: (submission.content, state.codes["mimeType"])}
    holds_documents(state.service(at), answer, wanted)
    [document] = answer.DocumentResponse
    assert document.HomeCommunityId == home, f"HomeCommunityId {document.HomeCommunityId!r}"
    assert document.RepositoryUniqueId == state.options.repository, "another repository"


@check
def initiating_gateway_find_documents(state):
    gateway_find(state, "initiating-gateway")


@check
def initiating_gateway_get_documents(state):
    gateway_get(state, "initiating-gateway")


@check
def initiating_gateway_home_missing(state):
    answer = state.get(state.recall("inline").unique_id, at="initiating-gateway")
    fails(answer, "XDSMissingHomeCommunityId")


@check
def initiating_gateway_home_unknown(state):
    unique_id = state.recall("inline").unique_id
    answer = state.get(unique_id, at="initiating-gateway", home=FOREIGN_HOME)
    fails(answer, "XDSUnknownCommunity")


@check
def initiating_gateway_unknown_stored_query(state):
    parameter = slot("$XDSDocumentEntryPatientId", quoted(state.patient))
    fails(state.query(NO_SUCH_QUERY, parameter, at="initiating-gateway"), "XDSUnknownStoredQuery")


@check
def initiating_gateway_retrieve(state):
    gateway_retrieve(state, "initiating-gateway")


@check
def initiating_gateway_retrieve_home_unknown(state):
    unique_id = state.recall("inline").unique_id
    answer = state.retrieve(unique_id, at="initiating-gateway", home=FOREIGN_HOME)
    fails(answer.RegistryResponse, "XDSUnknownCommunity")


@check
def responding_gateway_find_documents(state):
    for answer in gateway_find(state, "responding-gateway"):
        homes(answer, state.options.home)


@check
def responding_gateway_get_documents(state):
    gateway_get(state, "responding-gateway")


@check
def responding_gateway_home_missing(state):
    answer = state.get(state.recall("inline").unique_id, at="responding-gateway")
    fails(answer, "XDSMissingHomeCommunityId", location=state.options.home)


@check
def responding_gateway_home_unknown(state):
    unique_id = state.recall("inline").unique_id
    answer = state.get(unique_id, at="responding-gateway", home=FOREIGN_HOME)
    fails(answer, "XDSUnknownCommunity", location=state.options.home)


@check
def responding_gateway_unknown_stored_query(state):
    parameter = slot("$XDSDocumentEntryPatientId", quoted(state.patient))
    answer = state.query(NO_SUCH_QUERY, parameter, at="responding-gateway", home=state.options.home)
    fails(answer, "XDSUnknownStoredQuery", location=state.options.home)


@check
def responding_gateway_retrieve(state):
    gateway_retrieve(state, "responding-gateway")


@check
def responding_gateway_retrieve_home_missing(state):
    answer = state.retrieve(state.recall("inline").unique_id, at="responding-gateway")
    fails(answer.RegistryResponse, "XDSMissingHomeCommunityId", location=state.options.home)


@check
def responding_gateway_retrieve_home_unknown(state):
    unique_id = state.recall("inline").unique_id
    answer = state.retrieve(unique_id, at="responding-gateway", home=FOREIGN_HOME)
    fails(answer.RegistryResponse, "XDSUnknownCommunity", location=state.options.home)


@check
def responding_gateway_retrieve_unknown_document(state):
    answer = state.retrieve(new_oid(), at="responding-gateway", home=state.options.home)
    fails(answer.RegistryResponse, "XDSDocumentUniqueIdError", location=state.options.home)


@check
def responding_gateway_action_faults(state):
    """ITI-18 belongs to the registry, not here."""
    service = state.service("responding-gateway")
    with service.altered(set_action("urn:ihe:iti:2007:RegistryStoredQuery")):
        faults(service, "CrossGatewayQuery", "ActionNotSupported")


def run(state):
    passed = failed = 0
    for name, function in CHECKS:
        try:
            function(state)
        except Exception as problem:  # any failure of a check is its finding; the rest still run
            failed += 1
            reason = " ".join(f"{type(problem).__name__}: {problem}".split())
            print(f"FAIL {name} {reason.removeprefix('AssertionError: ')[:600]}", flush=True)
        else:
            passed += 1
            print(f"ok {name}", flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 else 1


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="zeep against the broker, over mutual TLS")
    parser.add_argument("--base", required=True, help="https://HOST:PORT/services")
    parser.add_argument("--cert", required=True, help="client certificate, PEM")
    parser.add_argument("--key", required=True, help="its private key, PEM")
    parser.add_argument("--ca", required=True, help="authority of the server's certificate, PEM")
    parser.add_argument("--home", required=True, help="homeCommunityId of the broker, as a URN")
    parser.add_argument("--repository", required=True, help="repositoryUniqueId of the broker")
    parser.add_argument("--patient", required=True, help="a patient id the registry accepts, as CX")
    parser.add_argument("--codes", default=here / "codes.json", help="codes to submit")
    options = parser.parse_args()
    options.base = options.base.rstrip("/")
    return run(State(options))


if __name__ == "__main__":
    sys.exit(main())
