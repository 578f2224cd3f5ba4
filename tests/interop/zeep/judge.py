"""Judgements: each raises AssertionError with what is wrong."""

from zeep.exceptions import Fault

from client import WSA
from metadata import (
    APPROVED,
    DE_UNIQUE_ID,
    differences,
    errors,
    identifiers,
    members,
    new_oid,
    slot,
)
from state import GET_DOCUMENTS, listed

SUCCESS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"
FAILURE = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
ERROR = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"


def succeeds(answer):
    found = [(e.errorCode, e.codeContext) for e in errors(answer)]
    assert answer.status == SUCCESS, f"status {answer.status}, errors {found}"


def fails(answer, error_code, location=None):
    """Failure with this code among its errors, each complete (ITI TF-3 §4.2.4.1)."""
    assert answer.status == FAILURE, f"status {answer.status}"
    names_error(answer, error_code, location)


def names_error(answer, error_code, location=None):
    found = errors(answer)
    codes = [e.errorCode for e in found]
    assert error_code in codes, f"errors {codes}, not {error_code}"
    for error in found:
        assert error.codeContext, f"{error.errorCode} has no codeContext"
    if location:
        places = [e.location or "" for e in found if e.errorCode == error_code]
        assert any(p.startswith(location) for p in places), f"location {places}, not {location}"


def entry_of(answer, unique_id):
    found = [
        e
        for e in members(answer, "ExtrinsicObject")
        if identifiers(e).get(DE_UNIQUE_ID) == unique_id
    ]
    assert len(found) == 1, f"{len(found)} entries with the submitted uniqueId"
    return found[0]


def as_submitted(entry, submission, state, status=APPROVED):
    wrong = differences(entry, submission, state.options.repository)
    if entry.status != status:
        wrong.append(f"status {entry.status}, not {status}")
    assert not wrong, "; ".join(wrong)


def faults(service, transaction, subcode=None, status=400, code="Sender"):
    """A SOAP fault with this code and subcode (WS-Addressing 1.0 SOAP Binding §6.4)."""
    unknown = slot("$XDSDocumentEntryUniqueId", listed(new_oid()))
    try:
        service.send(
            transaction,
            ResponseOption={"returnType": "ObjectRef", "returnComposedObjects": True},
            AdhocQuery={"id": GET_DOCUMENTS, "Slot": [unknown]},
        )
    except Fault as fault:
        got = (fault.code or "").rpartition(":")[2]
        assert got == code, f"fault code {fault.code}"
        if subcode:
            names = [(s.namespace, s.localname) for s in fault.subcodes or []]
            assert (WSA, subcode) in names, f"subcodes {names}"
        got = service.wire.answer.status_code
        assert got == status, f"HTTP status {got}, not {status}"
        service.judge_headers()
        return
    raise AssertionError("no fault")


def holds_documents(service, answer, wanted):
    """The documents of a retrieval, byte for byte, as zeep read them and as they were sent."""
    got = {d.DocumentUniqueId: d for d in answer.DocumentResponse}
    assert set(got) == set(wanted), f"{len(got)} documents, asked for {len(wanted)}"
    content_type = service.wire.content_type
    assert content_type.lower().startswith("multipart/related"), f"answered as {content_type}"
    for needed in ("application/xop+xml", "application/soap+xml", "start=", "boundary="):
        assert needed in content_type, f"Content-Type lacks {needed}: {content_type}"
    order = [d.DocumentUniqueId for d in answer.DocumentResponse]
    exact = dict(zip(order, service.wire.document_bytes(), strict=True))
    for unique_id, (content, mime_type) in wanted.items():
        # zeep trims line ends off an attachment; the parts themselves must be exact.
        assert got[unique_id].Document.strip(b"\r\n") == content.strip(b"\r\n"), "zeep read others"
        assert exact.get(unique_id) == content, "the bytes differ"
        assert got[unique_id].mimeType == mime_type, f"mimeType {got[unique_id].mimeType}"


def homes(answer, home):
    """Every object of a gateway's answer names its community (ITI TF-2 §3.38.4.1.3)."""
    for kind, found in members(answer):
        if kind in ("ExtrinsicObject", "RegistryPackage", "ObjectRef"):
            assert found.home == home, f"{kind} has home {found.home!r}"
