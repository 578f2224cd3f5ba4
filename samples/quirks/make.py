#!/usr/bin/env python3
"""Writes the messages of this folder and their table, manifest.toml. Python 3 alone; the same bytes on every run.

Each message is as the foreign system puts it on the wire, HTTP head and all, with invented people and identifiers
below 2.999. `make.py --check` tells whether what lies on disk is what would be written.
"""

import base64
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent

SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://www.w3.org/2005/08/addressing"
DRAFT = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
XDS = "urn:ihe:iti:xds-b:2007"
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
RS = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
QUERY = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"
STATUS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
PARTIAL = "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess"
SEVERITY = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:"
HL7 = "urn:hl7-org:v3"

ITI18 = "urn:ihe:iti:2007:RegistryStoredQuery"
ITI38 = "urn:ihe:iti:2007:CrossGatewayQuery"
ITI39 = "urn:ihe:iti:2007:CrossGatewayRetrieve"
ITI41 = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b"
ITI43 = "urn:ihe:iti:2007:RetrieveDocumentSet"
ITI55 = "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery"
DISCOVERED = "urn:hl7-org:v3:PRPA_IN201306UV02:CrossGatewayPatientDiscovery"

# The broker that requests are replayed to, and what it holds.
HOME = "urn:oid:2.999.826.1.99"
REPOSITORY = "2.999.826.3.1.99"
HELD = "2.999.826.5.99.1"
PATIENT = "Q-1^^^&amp;2.999.826.2.99&amp;ISO"
# The community whose answers are replayed.
FAR = "urn:oid:2.999.826.1.98"
FAR_REPOSITORY = "2.999.826.3.1.98"
FAR_DOCUMENT = "2.999.826.5.98.1"

# A letter with bytes that no text decoder and no careless boundary scanner leaves alone.
LETTER = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\nA letter about nobody.\r\n--MIMEBoundary_no\r\n\x00\xff=3D\n%%EOF\n"

MESSAGE_ID = "urn:uuid:5a1f0c1e-0000-4000-8000-000000000001"
ANONYMOUS = f"<{{p}}ReplyTo><{{p}}Address>{WSA}/anonymous</{{p}}Address></{{p}}ReplyTo>"


def envelope(body, action=None, *, version=SOAP12, mark="1", headers="", message_id=MESSAGE_ID, reply=True, to=""):
    """An envelope with prefixes as many stacks have them."""
    marked = f' soap:mustUnderstand="{mark}"' if mark else ""
    addressing = ""
    if action:
        addressing = f"<wsa:Action{marked}>{action}</wsa:Action><wsa:MessageID>{message_id}</wsa:MessageID>"
        addressing += ANONYMOUS.format(p="wsa:") if reply else ""
        addressing += f"<wsa:To>{to}</wsa:To>" if to else ""
    return (
        f'<soap:Envelope xmlns:soap="{version}" xmlns:wsa="{WSA}"><soap:Header>{addressing}{headers}</soap:Header>'
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def query(home=None):
    at = f' home="{home}"' if home else ""
    slots = {
        "$XDSDocumentEntryPatientId": f"'{PATIENT}'",
        "$XDSDocumentEntryStatus": "('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')",
    }
    written = "".join(
        f'<rim:Slot name="{name}"><rim:ValueList><rim:Value>{value}</rim:Value></rim:ValueList></rim:Slot>'
        for name, value in slots.items()
    )
    return (
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}"><query:ResponseOption '
        f'returnComposedObjects="true" returnType="LeafClass"/><rim:AdhocQuery '
        f'id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"{at}>{written}</rim:AdhocQuery></query:AdhocQueryRequest>'
    )


def retrieve(home=None, repository=REPOSITORY, unique_id=HELD):
    at = f"<xds:HomeCommunityId>{home}</xds:HomeCommunityId>" if home else ""
    return (
        f'<xds:RetrieveDocumentSetRequest xmlns:xds="{XDS}"><xds:DocumentRequest>{at}<xds:RepositoryUniqueId>{repository}'
        f"</xds:RepositoryUniqueId><xds:DocumentUniqueId>{unique_id}</xds:DocumentUniqueId></xds:DocumentRequest>"
        f"</xds:RetrieveDocumentSetRequest>"
    )


def slot(name, value):
    return f'<rim:Slot name="{name}"><rim:ValueList><rim:Value>{value}</rim:Value></rim:ValueList></rim:Slot>'


def entry(entry_id, unique_id, repository=None, home=None):
    """A DocumentEntry."""
    number = iter(range(1, 99))

    def code(scheme, value, coding):
        name = f'<rim:Name><rim:LocalizedString value="{value}"/></rim:Name>'
        return (
            f'<rim:Classification id="{entry_id}-c{next(number)}" classificationScheme="urn:uuid:{scheme}" '
            f'classifiedObject="{entry_id}" nodeRepresentation="{value}">{slot("codingScheme", coding)}{name}'
            f"</rim:Classification>"
        )

    def identifier(scheme, value, name):
        return (
            f'<rim:ExternalIdentifier id="{entry_id}-i{next(number)}" registryObject="{entry_id}" '
            f'identificationScheme="urn:uuid:{scheme}" value="{value}"><rim:Name><rim:LocalizedString value="{name}"/>'
            f"</rim:Name></rim:ExternalIdentifier>"
        )

    slots = slot("creationTime", "20260301120000") + slot("languageCode", "en-GB")
    slots += slot("sourcePatientId", "Q-1^^^&amp;2.999.826.2.98&amp;ISO")
    if repository:
        slots += slot("repositoryUniqueId", repository) + slot("hash", "A" * 40) + slot("size", str(len(LETTER)))
    at = f' home="{home}" status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"' if home else ""
    if repository and not home:
        at = ' status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"'
    codes = [
        ("41a5887f-8865-4c09-adf7-e362475b143a", "373942005", "2.16.840.1.113883.6.96"),
        ("f0306f51-975f-434e-a61c-c59651d33983", "373942005", "2.16.840.1.113883.6.96"),
        ("f4f85eac-e6cb-4883-b524-f2705394840f", "N", "2.16.840.1.113883.5.25"),
        ("a09d5840-386c-46f2-b5ad-9c3699a4309d", "urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3"),
        ("f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1", "22232009", "2.16.840.1.113883.6.96"),
        ("cccf5598-8b07-4b77-a05e-ae952c785ead", "1323691000000101", "2.16.840.1.113883.6.96"),
    ]
    return (
        f'<rim:ExtrinsicObject id="{entry_id}" mimeType="application/pdf" '
        f'objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"{at}>{slots}'
        f'<rim:Name><rim:LocalizedString value="A letter about nobody"/></rim:Name>'
        + "".join(code(*one) for one in codes)
        + identifier("58a6f841-87b3-4a3e-92fd-a8ffeff98427", PATIENT, "XDSDocumentEntry.patientId")
        + identifier("2e82c1f6-a085-4c72-9da3-8640a32e42ab", unique_id, "XDSDocumentEntry.uniqueId")
        + "</rim:ExtrinsicObject>"
    )


def provide(number, document):
    """A submission of one document; its element's content is the caller's."""
    unique_id = f"2.999.826.5.99.{number}"
    content_type = (
        '<rim:Classification id="set-c1" classificationScheme="urn:uuid:aa543740-bdda-424e-8c96-df4873be8500" '
        f'classifiedObject="set" nodeRepresentation="22232009">{slot("codingScheme", "2.16.840.1.113883.6.96")}'
        '<rim:Name><rim:LocalizedString value="Hospital"/></rim:Name></rim:Classification>'
    )
    identifiers = "".join(
        f'<rim:ExternalIdentifier id="set-i{n}" registryObject="set" identificationScheme="urn:uuid:{scheme}" '
        f'value="{value}"><rim:Name><rim:LocalizedString value="XDSSubmissionSet.{name}"/></rim:Name>'
        "</rim:ExternalIdentifier>"
        for n, (scheme, value, name) in enumerate(
            [
                ("6b5aea1a-874d-4603-a4bc-96a0a7b38446", PATIENT, "patientId"),
                ("554ac39e-e3fe-47fe-b233-965d2a147832", "2.999.826.2.98", "sourceId"),
                ("96fdda7c-d067-4183-912e-bf5ee74998a8", f"2.999.826.6.99.{number}", "uniqueId"),
            ],
            1,
        )
    )
    package = (
        f'<rim:RegistryPackage id="set">{slot("submissionTime", "20260301120500")}{content_type}{identifiers}'
        '</rim:RegistryPackage><rim:Classification id="set-n" classifiedObject="set" '
        'classificationNode="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"/>'
    )
    member = (
        '<rim:Association id="member" associationType="urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember" '
        f'sourceObject="set" targetObject="entry">{slot("SubmissionSetStatus", "Original")}</rim:Association>'
    )
    return (
        f'<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds="{XDS}"><lcm:SubmitObjectsRequest xmlns:lcm="{LCM}">'
        f'<rim:RegistryObjectList xmlns:rim="{RIM}">{entry("entry", unique_id)}{package}{member}'
        f'</rim:RegistryObjectList></lcm:SubmitObjectsRequest><xds:Document id="entry">{document}</xds:Document>'
        "</xds:ProvideAndRegisterDocumentSetRequest>"
    )


def include(href):
    return f'<xop:Include xmlns:xop="http://www.w3.org/2004/08/xop/include" href="cid:{href}"/>'


def error(code, context, location, severity=SEVERITY + "Error"):
    return f'<rs:RegistryError errorCode="{code}" codeContext="{context}" severity="{severity}" location="{location}"/>'


def found(objects="", status=STATUS + "Success", errors="", objects_list=True):
    listed = f"<rim:RegistryObjectList>{objects}</rim:RegistryObjectList>" if objects_list else ""
    errors = f"<rs:RegistryErrorList>{errors}</rs:RegistryErrorList>" if errors else ""
    return (
        f'<query:AdhocQueryResponse xmlns:query="{QUERY}" xmlns:rim="{RIM}" xmlns:rs="{RS}" status="{status}">'
        f"{errors}{listed}</query:AdhocQueryResponse>"
    )


def document(content, home=FAR):
    return (
        f'<xds:RetrieveDocumentSetResponse xmlns:xds="{XDS}"><rs:RegistryResponse xmlns:rs="{RS}" '
        f'status="{STATUS}Success"/><xds:DocumentResponse><xds:HomeCommunityId>{home}</xds:HomeCommunityId>'
        f"<xds:RepositoryUniqueId>{FAR_REPOSITORY}</xds:RepositoryUniqueId><xds:DocumentUniqueId>{FAR_DOCUMENT}"
        f"</xds:DocumentUniqueId><xds:mimeType>application/pdf</xds:mimeType>{content}</xds:DocumentResponse>"
        "</xds:RetrieveDocumentSetResponse>"
    )


def holding(content):
    return document(f"<xds:Document>{content}</xds:Document>")


def multipart(boundary, parts, *, line="\r\n", before="", after="", close=True, padding=""):
    """Parts are (headers, content)."""
    out = before.encode()
    for headers, content in parts:
        head = line.join(headers)
        out += f"--{boundary}{padding}{line}{head}{line}{line}".encode() + content + line.encode()
    if close:
        out += f"--{boundary}--{line}".encode()
    return out + after.encode()


ROOT = 'Content-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"'
BINARY = "Content-Transfer-Encoding: binary"
SIMPLE = "application/soap+xml; charset=UTF-8"


def related(boundary, start, info="application/soap+xml"):
    return (
        f'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<{start}>"; start-info="{info}"'
    )


def request(service, content_type, body, *, headers=(), version="1.1", chunks=None, path=None, trailers=()):
    path = path or f"/services/{service}"
    lines = [f"POST {path} HTTP/{version}", "Host: broker.example:8443", f"Content-Type: {content_type}", *headers]
    if chunks:
        lines.append("Transfer-Encoding: chunked")
        cut = [body[at : at + chunks] for at in range(0, len(body), chunks)]
        coded = b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in cut)
        body = coded + b"0\r\n" + "".join(f"{one}\r\n" for one in trailers).encode() + b"\r\n"
    else:
        lines.append(f"Content-Length: {len(body)}")
    if version == "1.1":
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(content_type, body, *, status="200 OK", version="1.1", headers=()):
    """Without a length: it ends with its connection, so that what a test puts into it does not matter."""
    lines = [f"HTTP/{version} {status}", *headers]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    if not body:
        lines.append("Content-Length: 0")
    lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answered(payload, action, **more):
    """The envelope of an answer."""
    headers = f"<wsa:RelatesTo>{MESSAGE_ID}</wsa:RelatesTo>"
    return envelope(payload, action, message_id="urn:uuid:5a1f0c1e-0000-4000-8000-000000000002", reply=False, headers=headers, **more)


def fault(inside, version=SOAP12):
    return envelope(f"<soap:Fault>{inside}</soap:Fault>", version=version)


REASON = '<soap:Reason><soap:Text xml:lang="en">no</soap:Text></soap:Reason>'
CODE = "<soap:Code><soap:Value>soap:Receiver</soap:Value></soap:Code>"


def device(element, code, home, device_id):
    return (
        f'<{element} typeCode="{code}"><device classCode="DEV" determinerCode="INSTANCE"><id root="{device_id}"/>'
        f'<asAgent classCode="AGNT"><representedOrganization classCode="ORG" determinerCode="INSTANCE"><id root="{home}"/>'
        f"</representedOrganization></asAgent></device></{element}>"
    )


def discovery(prefix):
    return (
        f'<PRPA_IN201305UV02 xmlns="{HL7}" ITSVersion="XML_1.0"><id root="2.999.826.9.98" extension="m-1"/>'
        '<creationTime value="20260301120000"/><interactionId root="2.16.840.1.113883.1.6" extension="PRPA_IN201305UV02"/>'
        '<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="AL"/>'
        + device("receiver", "RCV", prefix + HOME[8:], "2.999.826.9.99")
        + device("sender", "SND", prefix + FAR[8:], "2.999.826.9.98")
        + '<controlActProcess classCode="CACT" moodCode="EVN"><code code="PRPA_TE201305UV02" codeSystem="2.16.840.1.113883.1.6"/>'
        '<queryByParameter><queryId root="2.999.826.9.98" extension="q-1"/><statusCode code="new"/><responseModalityCode code="R"/>'
        '<responsePriorityCode code="I"/><parameterList><livingSubjectId><value root="2.999.826.2.99" extension="Q-1"/>'
        "<semanticsText>LivingSubject.id</semanticsText></livingSubjectId></parameterList></queryByParameter>"
        "</controlActProcess></PRPA_IN201305UV02>"
    )


def discovered(inside, response, accepted="AA"):
    """A test puts the query's own id where this one has q-1."""
    return (
        f'<PRPA_IN201306UV02 xmlns="{HL7}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ITSVersion="XML_1.0">'
        '<id root="2.999.826.9.98" extension="m-2"/><creationTime value="20260301120001"/><interactionId '
        'root="2.16.840.1.113883.1.6" extension="PRPA_IN201306UV02"/><processingCode code="P"/><processingModeCode code="T"/>'
        '<acceptAckCode code="NE"/>'
        + device("receiver", "RCV", HOME[8:], "2.999.826.9.99")
        + device("sender", "SND", FAR[8:], "2.999.826.9.98")
        + f'<acknowledgement><typeCode code="{accepted}"/><targetMessage><id root="2.999.826.9.99" extension="unknown"/>'
        '</targetMessage></acknowledgement><controlActProcess classCode="CACT" moodCode="EVN"><code code="PRPA_TE201306UV02" '
        f'codeSystem="2.16.840.1.113883.1.6"/>{inside}<queryAck><queryId root="2.999.826.9.1" extension="q-1"/>'
        f'<statusCode code="deliveredResponse"/><queryResponseCode code="{response}"/></queryAck></controlActProcess></PRPA_IN201306UV02>'
    )


def match(custodian, observation="OBS"):
    return (
        '<subject typeCode="SUBJ" contextConductionInd="false"><registrationEvent classCode="REG" moodCode="EVN"><statusCode '
        'code="active"/><subject1 typeCode="SBJ"><patient classCode="PAT"><id root="2.999.826.2.98" extension="F-77"/>'
        '<statusCode code="active"/><patientPerson classCode="PSN" determinerCode="INSTANCE"><name><given>Wilhelmina</given>'
        '<family>Quillfeather</family></name><administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>'
        f'<birthTime value="19510417"/></patientPerson><subjectOf1 typeCode="SBJ"><queryMatchObservation classCode="{observation}" '
        'moodCode="EVN"><code code="IHE_PDQ"/><value xsi:type="INT" value="97"/></queryMatchObservation></subjectOf1></patient>'
        f'</subject1><custodian typeCode="CST"><assignedEntity classCode="ASSIGNED"><id root="{custodian}"/></assignedEntity>'
        "</custodian></registrationEvent></subject>"
    )


def issue(code, mood, problem):
    return (
        f'<reasonOf typeCode="RSON"><detectedIssueEvent classCode="ALRT" moodCode="EVN"><code code="{code}" '
        f'codeSystem="2.16.840.1.113883.5.4"/><mitigatedBy typeCode="MITGT"><detectedIssueManagement classCode="ACT" moodCode="{mood}">'
        f'<code code="{problem}" codeSystem="1.3.6.1.4.1.19376.1.2.27.3"/></detectedIssueManagement></mitigatedBy>'
        "</detectedIssueEvent></reasonOf>"
    )


def quoted(content):
    """quoted-printable, line breaks and all."""
    lines, line = [], ""
    for octet in content:
        coded = chr(octet) if 33 <= octet <= 126 and octet != 61 else f"={octet:02X}"
        if len(line) + len(coded) > 75:
            lines.append(line)
            line = ""
        line += coded
    return "=\r\n".join([*lines, line]).encode()


LINES = base64.encodebytes(LETTER).decode().replace("\n", "\r\n")
ROWS = []


def row(name, what, known, message, **expected):
    ROWS.append((name, what, known, message, expected))


def requests():
    axis = "MIMEBoundary_0a1b2c3d"
    ids = ("0.urn:uuid:5A1F0C1E@apache.org", "1.urn:uuid:5A1F0C1E@apache.org")
    root = envelope(provide(11, include(ids[1])), ITI41)
    row(
        "axis2-mtom",
        "a boundary without quotes, a blank line before it, the action in the outer Content-Type, colons in Content-IDs",
        "Axis2: NIST XDS Toolkit, HIEOS, many XDS vendors",
        request(
            "repository",
            f'multipart/related; boundary={axis}; type="application/xop+xml"; start="<{ids[0]}>"; '
            f'start-info="application/soap+xml"; action="{ITI41}"',
            multipart(
                axis,
                [([ROOT, BINARY, f"Content-ID: <{ids[0]}>"], root), (["Content-Type: application/pdf", BINARY, f"Content-ID: <{ids[1]}>"], LETTER)],
                before="\r\n",
            ),
            chunks=700,
        ),
        stored=11,
    )
    root = envelope(retrieve(), ITI43)
    row(
        "axis2-start-without-brackets",
        "start has no brackets, the Content-ID has",
        "old Axis2, SAAJ",
        request(
            "repository",
            f"multipart/related; boundary={axis}; type=application/xop+xml; start=0.1@apache.org",
            multipart(axis, [(["Content-Type: application/xop+xml; charset=UTF-8", "Content-ID: <0.1@apache.org>"], root)]),
        ),
        expected="letter",
    )
    boundary = "uuid:5a1f0c1e-2222-4333-8444-555566667777"
    root = envelope(provide(12, include("u%40urn%3Aihe")), ITI41, mark="true")
    row(
        "cxf-mtom",
        "part headers that go over two lines, a Content-ID that is percent-encoded on the part as well",
        "CXF from 3.5.3 on",
        request(
            "repository",
            related(boundary, "root.message@cxf.apache.org"),
            multipart(
                boundary,
                [
                    (["Content-Type: application/xop+xml; charset=UTF-8;", ' type="application/soap+xml"', BINARY, "Content-ID: <root.message@cxf.apache.org>"], root),
                    (["Content-Type: application/pdf", "Content-Transfer-Encoding:", " binary", "Content-ID: <u%40urn%3Aihe>"], LETTER),
                ],
            ),
        ),
        stored=12,
    )
    row(
        "cxf-stale-action",
        "the action parameter of Content-Type is another than wsa:Action, which counts (ITI TF-2 Appendix V)",
        "gateways that pass the parameter of another message on",
        request("registry", f'{SIMPLE}; action="{ITI38}"', envelope(query(), ITI18)),
        expected="entry",
    )
    root = envelope(retrieve(), ITI43, mark=None)
    row(
        "metro-mtom",
        "an asterisk in the root's Content-ID, no header is marked mustUnderstand",
        "Metro, JAX-WS RI",
        request(
            "repository",
            related("uuid:metro-1", "rootpart*5a1f0c1e@example.jaxws.sun.com"),
            multipart("uuid:metro-1", [([ROOT, BINARY, "Content-Id: <rootpart*5a1f0c1e@example.jaxws.sun.com>"], root)]),
        ),
        expected="letter",
    )
    wcf = "uuid:5a1f0c1e-c057-48c5-9f07-43a15680b58d+id=1"
    href = "http%3A%2F%2Ftempuri.org%2F1%2F5a1f%40x"
    root = (
        envelope(provide(13, include(href)), ITI41)
        .replace(b"soap:", b"s:").replace(b"xmlns:soap", b"xmlns:s").replace(b"wsa:", b"a:").replace(b"xmlns:wsa", b"xmlns:a")
    )
    row(
        "wcf-mtom",
        "start is an address, the boundary has +id=, the href is percent-encoded and the part is not, 8bit, Expect: 100-continue",
        "WCF, .NET",
        request(
            "repository",
            f'multipart/related; type="application/xop+xml";start="<http://tempuri.org/0>";boundary="{wcf}";'
            f'start-info="application/soap+xml; action=\\"{ITI41}\\""',
            multipart(
                wcf,
                [
                    (["Content-ID: <http://tempuri.org/0>", "Content-Transfer-Encoding: 8bit", 'Content-Type: application/xop+xml;charset=utf-8;type="application/soap+xml; charset=utf-8"'], root),
                    (["Content-ID: <http://tempuri.org/1/5a1f@x>", BINARY, "Content-Type: application/octet-stream"], LETTER),
                ],
                before="\r\n",
            ),
            headers=["Expect: 100-continue"],
        ),
        stored=13,
    )
    spaced = f"""<soap:Envelope xmlns:soap="{SOAP12}" xmlns:wsa="{WSA}"><soap:Header>
      <wsa:To mustUnderstand="true">
        https://broker.example:8443/services/responding-gateway
      </wsa:To>
      <wsa:Action mustUnderstand="true">
        {ITI38}
      </wsa:Action>
      <wsa:MessageID mustUnderstand="true"> {MESSAGE_ID}
      </wsa:MessageID>
      <u:Unknown xmlns:u="urn:example:unknown" mustUnderstand="true"/></soap:Header><soap:Body>{query()}</soap:Body></soap:Envelope>"""
    row(
        "connect-unqualified-must-understand",
        "mustUnderstand without the envelope's namespace means nothing; blanks and line breaks around addressing values",
        "CONNECT",
        request("responding-gateway", SIMPLE, spaced.encode()),
        expected="entry",
    )
    row(
        "connect-home-prefix",
        "homeCommunityIds of HL7 v3 with urn:oid: before the OID",
        "CONNECT configurations",
        request("responding-gateway", SIMPLE, envelope(discovery("urn:oid:"), ITI55)),
        contains='queryResponseCode code="OK"',
    )
    soapui = "----=_Part_0_12.34"
    root = envelope(provide(14, include("letter@soapui")), ITI41)
    row(
        "soapui-quoted-printable",
        "parts in quoted-printable, the root too",
        "SoapUI",
        request(
            "repository",
            related(soapui, "rootpart@soapui.org"),
            multipart(
                soapui,
                [
                    ([ROOT, "Content-Transfer-Encoding: quoted-printable", "Content-ID: <rootpart@soapui.org>"], quoted(root)),
                    (["Content-Type: text/plain; charset=us-ascii", "Content-Transfer-Encoding: quoted-printable", "Content-ID: <letter@soapui>", 'Content-Disposition: attachment; name="letter.pdf"'], quoted(LETTER)),
                ],
            ),
        ),
        stored=14,
    )
    row(
        "soapui-inline-base64",
        "the document inline, its base64 broken into lines",
        "SoapUI, zeep, scripts",
        request("repository", SIMPLE, envelope(provide(15, f"\r\n{LINES}  "), ITI41)),
        stored=15,
    )
    row(
        "zeep-plain-retrieve",
        "a retrieve without MTOM: its answer has the document inline",
        "zeep and other Python clients, scripts",
        request("repository", SIMPLE, envelope(retrieve(), ITI43)),
        contains=base64.b64encode(LETTER).decode(),
    )
    row(
        "soap-1.1-action-in-http",
        "SOAP 1.1 without WS-Addressing: SOAPAction in HTTP names the transaction, the answer is in SOAP 1.1",
        "integration engines (reported of Mirth Connect, InterSystems)",
        request("registry", "text/xml; charset=utf-8", envelope(query(), version=SOAP11), headers=[f'SOAPAction: "{ITI18}"']),
        expected="entry",
        contains=SOAP11,
    )
    root = envelope(retrieve(), ITI43, version=SOAP11)
    row(
        "soap-1.1-mtom",
        "MTOM around SOAP 1.1",
        "JAX-WS with its default binding",
        request(
            "repository",
            related("b11", "root@jaxws", "text/xml"),
            multipart("b11", [(['Content-Type: application/xop+xml; charset=UTF-8; type="text/xml"', "Content-ID: <root@jaxws>"], root)]),
            headers=['SOAPAction: ""'],
        ),
        expected="letter",
        contains=SOAP11,
    )
    row(
        "no-addressing",
        "SOAP 1.2 without WS-Addressing: refused, for nothing names the transaction",
        "integration engines (reported of Mirth Connect, InterSystems)",
        request("registry", SIMPLE, envelope(query())),
        expected="fault",
        contains="MessageAddressingHeaderRequired",
    )
    draft = envelope(query(), ITI18).replace(WSA.encode() + b'"', DRAFT.encode() + b'"', 1)
    row(
        "draft-addressing",
        "WS-Addressing of 2004/08: refused, and the fault says which to use",
        "stacks from before the standard",
        request("registry", SIMPLE, draft),
        expected="fault",
        contains="http://www.w3.org/2005/08/addressing",
    )
    row(
        "async-action",
        "the action ends in Async",
        "XcaDocumentSource, NIST XDS Toolkit",
        request("responding-gateway", SIMPLE, envelope(query(), ITI38 + "Async")),
        expected="entry",
    )
    root = envelope(query(), ITI18)
    row(
        "mtom-for-a-simple-transaction",
        "a query in an MTOM package; its answer is plain, as the transaction has it",
        "clients with MTOM turned on for all",
        request(
            "registry",
            'MULTIPART/Related ; START-INFO="application/soap+xml"; Type="application/xop+xml"; BOUNDARY="b 1"; start="<r@x>"; ;',
            multipart("b 1", [([ROOT, "Content-ID: <r@x>"], root)]),
        ),
        expected="entry",
    )
    root = envelope(provide(16, include("doc@x")), ITI41)
    row(
        "root-part-last",
        "the document's part comes before the root part, which start names; text before and behind the package",
        "senders that stream",
        request(
            "repository",
            related("b16", "root@x"),
            multipart(
                "b16",
                [(["Content-ID: <doc@x>", "Content-Transfer-Encoding: base64"], base64.encodebytes(LETTER)), ([ROOT, "Content-ID: <root@x>"], root)],
                before="This is a message in several parts.\r\n",
                after="The end.\r\n",
                padding=" \t",
            ),
        ),
        stored=16,
    )
    root = envelope(retrieve(), ITI43)
    row(
        "lf-only",
        "lines of the package end in LF alone",
        "scripts, messages that were edited",
        request("repository", related("blf", "r@x"), multipart("blf", [([ROOT, "Content-ID: <r@x>"], root)], line="\n")),
        expected="letter",
    )
    row(
        "chunked-with-trailers",
        "a request in chunks, with headers behind it",
        "Axis2, CXF, WCF",
        request("registry", SIMPLE, envelope(query(), ITI18), chunks=300, trailers=["X-Checksum: 1"]),
        expected="entry",
    )
    row(
        "http-1.0",
        "HTTP/1.0: the answer is not chunked, and the connection ends with it",
        "appliances, old proxies",
        request("registry", SIMPLE, envelope(query(), ITI18), version="1.0"),
        expected="entry",
    )
    row(
        "byte-order-mark",
        "a byte order mark before the envelope",
        "some XCPD gateways, .NET",
        request("registry", SIMPLE, b"\xef\xbb\xbf" + b'<?xml version="1.0" encoding="utf-8"?>' + envelope(query(), ITI18)),
        expected="entry",
    )
    declaration = b'<?xml version="1.0" encoding="UTF-8"?>'
    row(
        "second-xml-declaration",
        "two XML declarations: refused",
        "some XCPD gateways",
        request("registry", SIMPLE, declaration + declaration + envelope(query(), ITI18)),
        expected="fault",
        contains="Sender",
    )
    root = envelope(retrieve(home=HOME[8:]), ITI39)
    row(
        "bare-home",
        "HomeCommunityId of a retrieve without urn:oid:",
        "seen in ITI-39 requests",
        request("responding-gateway", related("b39", "r@x"), multipart("b39", [([ROOT, "Content-ID: <r@x>"], root)])),
        expected="letter",
    )
    row(
        "home-in-capitals",
        "URN:OID: in capitals, blanks around it",
        "hand-written configurations",
        request("responding-gateway", SIMPLE, envelope(query(home=" URN:OID:" + HOME[8:] + " "), ITI38)),
        expected="entry",
    )
    row(
        "behind-a-proxy",
        "wsa:To names another host, the path ends in a slash",
        "reverse proxies that rewrite Host",
        request("registry", SIMPLE, envelope(query(), ITI18, to="http://10.0.0.7/xds/registry"), path="/services/registry/"),
        expected="entry",
    )
    direct = '<d:addressBlock xmlns:d="urn:direct:addressing" soap:mustUnderstand="1" soap:relay="true"><d:from>mailto:a@direct.example</d:from></d:addressBlock>'
    row(
        "direct-address-block",
        "a header block of Direct that must be understood, and is known to be harmless",
        "Direct edges",
        request("repository", SIMPLE, envelope(provide(17, LINES), ITI41, headers=direct)),
        stored=17,
    )
    security = f'<w:Security xmlns:w="{WSSE}" soap:mustUnderstand="1"><Timestamp xmlns="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"/></w:Security>'
    row(
        "security-must-be-understood",
        "a security header that must be understood is carried, whatever is in it",
        "every XUA client",
        request("registry", SIMPLE, envelope(query(), ITI18, headers=security)),
        expected="entry",
    )
    trace = '<traceparent xmlns="https://www.w3.org/TR/trace-context/">00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01</traceparent>'
    row(
        "trace-in-the-envelope",
        "W3C Trace Context as a header block; in HTTP it counts more",
        "OpenTelemetry's WCF instrumentation",
        request("responding-gateway", SIMPLE, envelope(query(), ITI38, headers=trace)),
        expected="entry",
        trace="4bf92f3577b34da6a3ce929d0e0e4736",
    )


def answers():
    entry_id = "urn:uuid:5a1f0c1e-0000-4000-8000-000000000098"
    one = entry(entry_id, FAR_DOCUMENT, FAR_REPOSITORY, FAR)
    plain = answered(found(one), ITI38 + "Response")
    row("fault-with-200", "a fault under HTTP 200", "many stacks", answer(SIMPLE, fault(CODE + REASON)), ask="query", expected="missing")
    row(
        "metro-fault-order", "Reason before Code", "Metro",
        answer(SIMPLE, fault(REASON + CODE), status="500 Internal Server Error"), ask="query", expected="missing",
    )
    row(
        "misspelt-receiver", "HTTP 400 with the code soapenv:Reciever, whose prefix is bound nowhere", "XcaDocumentSource",
        answer(SIMPLE, fault(f"<soap:Code><soap:Value>soapenv:Reciever</soap:Value></soap:Code>{REASON}"), status="400 Bad Request"),
        ask="query", expected="missing",
    )
    row(
        "soap-1.1-fault-in-1.2", "children of a SOAP 1.1 fault in a SOAP 1.2 one", "mixed stacks",
        answer(SIMPLE, fault("<faultcode>soap:Server</faultcode><faultstring>no</faultstring>")), ask="query", expected="missing",
    )
    page = answer("text/html", b"<html><body>Bad Gateway</body></html>", status="502 Bad Gateway")
    row("html-502", "a page of a proxy instead of an answer", "load balancers, firewalls for web applications", page, ask="query", expected="missing")
    row("empty-200", "HTTP 200 with nothing, after an error inside", "some Responding Gateways", answer(None, b""), ask="query", expected="missing")
    packed = multipart("bq", [([ROOT, "Content-ID: <r@x>"], plain)])
    row("mtom-answer-to-a-query", "the answer to a query in an MTOM package", "gateways with MTOM turned on for all", answer(related("bq", "r@x"), packed), ask="query", expected="entry")
    row("soap-1.1-answer", "SOAP 1.1, as the answer to SOAP 1.2", "integration engines", answer("text/xml; charset=utf-8", answered(found(one), ITI38 + "Response", version=SOAP11)), ask="query", expected="entry")
    row("http-1.0-answer", "HTTP/1.0, the connection's end is the answer's", "appliances, old IIS", answer(SIMPLE, plain, version="1.0"), ask="query", expected="entry")
    no_home = answer(SIMPLE, answered(found(entry(entry_id, FAR_DOCUMENT, FAR_REPOSITORY)), ITI38 + "Response"))
    row("no-home", "objects without homeCommunityId are left out and told", "gateways of one community", no_home, ask="query", expected="error:XDSMissingHomeCommunityId")
    row("no-home-assumed", "the same from a peer with assume_home", "gateways of one community", no_home, ask="query", expected="entry", peer="assume_home = true")
    short = found("", STATUS + "Failure", error("urn:oasis:names:tc:ebxml-regrep#XDSRegistryBusy", "later", FAR + " registry 1", "Error"), objects_list=False)
    row(
        "short-severity",
        "a bare severity, a namespace before the error code, text behind the home in location, no object list beside a Failure",
        "legacy registries, NIST XDS Toolkit",
        answer(SIMPLE, answered(short, ITI38 + "Response")), ask="query", expected="error:XDSRegistryBusy",
    )
    lies = found(one, STATUS + "Success", error("XDSRegistryError", "one registry is away", FAR))
    row("success-with-errors", "Success with an Error beside it: it counts as PartialSuccess", "some Responding Gateways", answer(SIMPLE, answered(lies, ITI38 + "Response")), ask="query", expected="error:XDSRegistryError")
    warnings = found(one, STATUS + "Success", error("XDSRegistryError", "take care", FAR, "Warning"))
    row("short-warning", "a bare Warning changes no status", "legacy registries", answer(SIMPLE, answered(warnings, ITI38 + "Response")), ask="query", expected="entry")

    action = ITI39 + "Response"
    inline = answer(SIMPLE, answered(holding(f"\r\n{LINES}"), action))
    row("plain-retrieve-answer", "the document inline, its base64 in lines, where MTOM is asked for", "integration engines, scripts", inline, ask="retrieve", expected="letter")
    packed = lambda boundary, start, parts, **more: answer(related(boundary, start), multipart(boundary, parts, **more))
    wcf = "uuid:5a1f0c1e-0000-4000-8000-43a15680b58d+id=7"
    row(
        "wcf-answer", "start is an address, the href percent-encoded", "WCF, .NET",
        packed(wcf, "http://tempuri.org/0", [
            (["Content-ID: <http://tempuri.org/0>", "Content-Transfer-Encoding: 8bit", 'Content-Type: application/xop+xml;charset=utf-8;type="application/soap+xml"'], answered(holding(include("http%3A%2F%2Ftempuri.org%2F1%2F5a1f")), action)),
            (["Content-ID: <http://tempuri.org/1/5a1f>", BINARY, "Content-Type: application/octet-stream"], LETTER),
        ], before="\r\n"),
        ask="retrieve", expected="letter",
    )
    row(
        "cxf-answer", "part headers over two lines, a Content-ID that is percent-encoded on the part as well", "CXF from 3.5.3 on",
        packed("uuid:cxf-1", "root.message@cxf.apache.org", [
            (["Content-Type: application/xop+xml; charset=UTF-8;", ' type="application/soap+xml"', BINARY, "Content-ID: <root.message@cxf.apache.org>"], answered(holding(include("u@urn:ihe")), action)),
            (["Content-Type: application/pdf", "Content-Transfer-Encoding:", "\tbinary", "Content-ID: <u%40urn%3Aihe>"], LETTER),
        ]),
        ask="retrieve", expected="letter",
    )
    row(
        "base64-part", "the document's part in base64", "mail-like MIME libraries",
        packed("b64", "r@x", [
            ([ROOT, "Content-ID: <r@x>"], answered(holding(include("d@x")), action)),
            (["Content-Transfer-Encoding: BASE64", "Content-ID: <d@x>"], base64.encodebytes(LETTER)),
        ]),
        ask="retrieve", expected="letter",
    )
    row(
        "fault-in-a-package", "a fault in an MTOM package", "Metro, CXF, Axis2",
        answer(related("bf", "r@x"), multipart("bf", [([ROOT, "Content-ID: <r@x>"], fault(CODE + REASON))]), status="500 Internal Server Error"),
        ask="retrieve", expected="missing",
    )
    row("plain-fault-to-a-retrieve", "a plain fault where MTOM is asked for", "some servers", answer(SIMPLE, fault(CODE + REASON), status="500 Internal Server Error"), ask="retrieve", expected="missing")
    swa = document('<xds:Document href="cid:d@x"/>')
    row(
        "soap-with-attachments", "href on the document element instead of an xop:Include: refused, for it would be an empty document", "systems of the XDS.a era",
        packed("bswa", "r@x", [([ROOT, "Content-ID: <r@x>"], answered(swa, action)), (["Content-ID: <d@x>"], LETTER)]),
        ask="retrieve", expected="missing",
    )
    row(
        "no-final-boundary", "the package has no end: whether the document is whole cannot be told, and its answer breaks off", "none by name",
        packed("bcut", "r@x", [([ROOT, "Content-ID: <r@x>"], answered(holding(include("d@x")), action)), (["Content-ID: <d@x>"], LETTER)], close=False),
        ask="retrieve", expected="broken",
    )

    def told(inside, response, accepted="AA"):
        return answer(SIMPLE, answered(discovered(inside, response, accepted), DISCOVERED))

    row("connect-not-found", "OK with a subject that has no registrationEvent: nobody is known", "CONNECT", told('<subject typeCode="SUBJ" contextConductionInd="false"/>', "OK"), ask="discover", expected="nobody")
    row("connect-query-error", "QE with AnswerNotAvailable in a message that is accepted: it refuses", "CONNECT", told(issue("ActAdministrativeDetectedIssueCode", "EVN", "AnswerNotAvailable"), "QE"), ask="discover", expected="missing")
    row("ipf-issue", "another issue code, and the mood of the first supplement's example", "IPF, old implementations", told(issue("_ActAdministrativeDetectedIssueManagementCode", "RQO", "ResponderBusy"), "AE", "AE"), ask="discover", expected="missing")
    row("prefixed-custodian", "the custodian's home with urn:oid:, and a CASE for an observation", "CONNECT configurations", told(match(FAR, "CASE"), "OK"), ask="discover", expected="found")


def text(value):
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def manifest():
    out = [
        "# What foreign systems do otherwise, and what comes of it. Written by make.py; tests/it/quirks replays each row.",
        "# direction: request, sent to a broker; or answer, of a peer that is asked. docs/peers.md explains the rest.",
        "",
    ]
    for name, what, known, _, expected in ROWS:
        direction = "answer" if "ask" in expected else "request"
        out += ["[[quirk]]", f"id = {text(name)}", f"what = {text(what)}", f"known = {text(known)}", f'direction = "{direction}"']
        if "stored" in expected:
            expected = {"expected": "stored", "document": f"2.999.826.5.99.{expected['stored']}"}
        out += [f"{key} = {text(value)}" for key, value in {"expected": "answered", **expected}.items()]
        out.append("")
    return "\n".join(out).encode()


def main():
    requests()
    answers()
    files = {f"{name}.http": message for name, _, _, message, _ in ROWS}
    assert len(files) == len(ROWS), "two rows of one name"
    files |= {"letter.pdf": LETTER, "manifest.toml": manifest()}
    if "--check" in sys.argv:
        there = {path.name for path in HERE.iterdir()} - {"make.py"}
        wrong = there ^ set(files) | {name for name, data in files.items() if name in there and (HERE / name).read_bytes() != data}
        sys.exit(f"not as written: {', '.join(sorted(wrong))}" if wrong else 0)
    for name, data in files.items():
        (HERE / name).write_bytes(data)
    print(f"{len(ROWS)} messages")


if __name__ == "__main__":
    main()
