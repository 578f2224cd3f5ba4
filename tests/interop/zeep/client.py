"""A zeep client for one service of the broker, and what was on the wire.

zeep adds the WS-Addressing headers itself (its WsAddressingPlugin) wherever the WSDL names actions.
It sends base64 inline and has no MTOM of its own for requests: `Wire` packages them on demand.
"""

import base64
import uuid
from contextlib import contextmanager
from urllib.parse import unquote

import zeep
from lxml import etree
from requests_toolbelt.multipart.decoder import MultipartDecoder
from zeep.wsdl.utils import etree_to_string

WSA = "http://www.w3.org/2005/08/addressing"
ENV = "http://www.w3.org/2003/05/soap-envelope"
XOP = "http://www.w3.org/2004/08/xop/include"
XDS = "urn:ihe:iti:xds-b:2007"
ANONYMOUS = WSA + "/anonymous"


class Wire(zeep.Transport):
    """A transport that remembers the last answer and can send MTOM."""

    def __init__(self, session):
        super().__init__(session=session, timeout=30, operation_timeout=60)
        self.mtom = False
        self.answer = None

    def post_xml(self, address, envelope, headers):
        message, headers = etree_to_string(envelope), dict(headers)
        if self.mtom:
            message, headers["Content-Type"] = package(envelope)
        self.answer = self.post(address, message, headers)
        return self.answer

    @property
    def content_type(self):
        return self.answer.headers.get("Content-Type", "")

    def attachments(self):
        """Content-ID → exact bytes. zeep itself trims line ends off an attachment."""
        parts = MultipartDecoder.from_response(self.answer).parts
        return {p.headers.get(b"Content-ID", b"").decode().strip("<>"): p.content for p in parts}

    def document_bytes(self):
        """The documents of a multipart answer, in the order of their references."""
        parts = self.attachments()
        decoder = MultipartDecoder.from_response(self.answer)
        root = etree.fromstring(decoder.parts[0].content)
        return [parts[unquote(i.get("href")[4:])] for i in root.iter(f"{{{XOP}}}Include")]


def package(envelope):
    """MTOM: each Document in a part of its own, the envelope in the first (MTOM 1.0, XOP 1.0)."""
    root = etree.fromstring(etree.tostring(envelope))
    boundary, start = f"--=_{uuid.uuid4().hex}", f"root.{uuid.uuid4()}@suite.invalid"
    parts = []
    for document in root.iter(f"{{{XDS}}}Document"):
        cid = f"{uuid.uuid4()}@suite.invalid"
        parts.append((cid, "application/octet-stream", base64.b64decode(document.text or "")))
        document.text = None
        etree.SubElement(document, f"{{{XOP}}}Include", nsmap={"xop": XOP}, href=f"cid:{cid}")
    root_type = 'application/xop+xml; charset=UTF-8; type="application/soap+xml"'
    parts.insert(0, (start, root_type, etree.tostring(root, encoding="UTF-8")))
    body = bytearray()
    for cid, content_type, content in parts:
        body += (
            f"--{boundary}\r\nContent-Type: {content_type}\r\n"
            f"Content-Transfer-Encoding: binary\r\nContent-ID: <{cid}>\r\n\r\n"
        ).encode()
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), (
        f'multipart/related; type="application/xop+xml"; start="<{start}>"; '
        f'start-info="application/soap+xml"; boundary="{boundary}"'
    )


class Addressing(zeep.Plugin):
    """Remembers the addressing headers of both messages, and alters a request's where asked."""

    def __init__(self):
        self.alter = None
        self.request = {}
        self.response = {}

    def egress(self, envelope, http_headers, operation, binding_options):
        header = envelope.find(f"{{{ENV}}}Header")
        if self.alter:
            self.alter(header)
        self.request, self.response = self.read(envelope), {}
        return envelope, http_headers

    def ingress(self, envelope, http_headers, operation):
        self.response = self.read(envelope)
        return envelope, http_headers

    @staticmethod
    def read(envelope):
        header = envelope.find(f"{{{ENV}}}Header")
        blocks = [] if header is None else header.iterchildren(f"{{{WSA}}}*")
        return {etree.QName(block).localname: block.text for block in blocks}


class Service:
    """One service of the broker: a client generated from the WSDL that the broker serves."""

    def __init__(self, base, name, session):
        self.address = f"{base.rstrip('/')}/{name}"
        self.wire = Wire(session)
        self.addressing = Addressing()
        self.client = zeep.Client(
            f"{self.address}?wsdl",
            transport=self.wire,
            plugins=[self.addressing],
            settings=zeep.Settings(xml_huge_tree=True),
        )
        [service] = self.client.wsdl.services.values()
        [self.port] = service.ports.values()
        self.operations = self.port.binding.all()

    def send(self, transaction, **body):
        """Calls an operation by the name of its transaction."""
        [operation] = [o for o in self.operations if o.endswith("_" + transaction)]
        return self.client.service[operation](**body)

    def call(self, transaction, **body):
        """As `send`, and judges the addressing headers of the answer."""
        answer = self.send(transaction, **body)
        self.judge_headers(self.addressing.request["Action"] + "Response")
        return answer

    def judge_headers(self, action=None):
        """ITI TF-2 §V.3: the answer relates to the request and names its own action."""
        request, response = self.addressing.request, self.addressing.response
        related = response.get("RelatesTo")
        assert related == request["MessageID"], f"wsa:RelatesTo is {related!r}"
        got = response.get("Action")
        if action:
            assert got == action, f"wsa:Action is {got!r}, not {action!r}"
        else:
            assert got, "no wsa:Action"

    @contextmanager
    def mtom(self):
        self.wire.mtom = True
        try:
            yield
        finally:
            self.wire.mtom = False

    @contextmanager
    def altered(self, alter):
        """Requests inside have their header passed through `alter` before they are sent."""
        self.addressing.alter = alter
        try:
            yield
        finally:
            self.addressing.alter = None


def set_action(value):
    def alter(header):
        header.find(f"{{{WSA}}}Action").text = value

    return alter


def drop_action(header):
    header.remove(header.find(f"{{{WSA}}}Action"))


def reply_to_anonymous(header):
    """The fullest form: ReplyTo given, Action marked mustUnderstand (ITI TF-2 §V.3.2)."""
    header.find(f"{{{WSA}}}Action").set(f"{{{ENV}}}mustUnderstand", "true")
    reply_to = etree.SubElement(header, f"{{{WSA}}}ReplyTo")
    etree.SubElement(reply_to, f"{{{WSA}}}Address").text = ANONYMOUS


def unknown_header(header):
    block = etree.SubElement(header, "{urn:example:unknown}Demand")
    block.set(f"{{{ENV}}}mustUnderstand", "true")
