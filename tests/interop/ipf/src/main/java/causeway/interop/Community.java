package causeway.interop;

import static org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators.iti55RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators.iti55ResponseValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti38RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti38ResponseValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti39RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti39ResponseValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti63RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti63ResponseValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti80RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti80ResponseValidator;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import javax.xml.datatype.DatatypeFactory;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.cxf.binding.soap.Soap12;
import org.apache.cxf.binding.soap.SoapFault;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Code;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Document;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ObjectReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.DocumentReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.ProvideAndRegisterDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RetrieveDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FetchQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.QueryReturnType;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorCode;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorInfo;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Response;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocument;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Severity;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Status;
import org.openehealth.ipf.platform.camel.ihe.hl7v3.iti55.TtlHeaderUtils;

/** A neighbouring community: a Responding Gateway (XCA, XCPD) with a handful of documents of one patient. */
final class Community extends RouteBuilder {
    private final Neighbour about;
    private final String home;
    private final String repository;
    /** As whom others know the patient, and as whom this community does. */
    private final Identifiable shared;
    private final Identifiable patient;
    private final Map<String, byte[]> bodies;
    private final Map<String, DocumentEntry> entries;

    Community(Neighbour about, Codes codes, Identifiable shared) {
        this.about = about;
        this.shared = shared;
        home = about.home();
        repository = about.repository();
        patient = about.patient(shared);
        Map<String, byte[]> held = about.holdings();
        bodies = new ConcurrentHashMap<>(held);
        entries = new ConcurrentHashMap<>(Samples.holdingsEntries(codes, patient, held.keySet()));
        for (DocumentEntry entry : entries.values()) {
            String id = entry.getUniqueId();
            // the same id at each start, so that a harness may restart the gateway between query and retrieval
            String uuid = "urn:uuid:" + UUID.nameUUIDFromBytes(id.getBytes(StandardCharsets.UTF_8));
            Samples.register(entry, bodies.get(id), uuid, repository, home);
        }
    }

    /** Its address is {@code /services/} and its name. */
    void share(Container container) {
        container.share(about.name(), service("iti38"),
                Map.of(Container.RETRIEVAL, service("iti39"), Container.DISCOVERY, service("iti55"),
                        Container.FETCH, service("iti63"), Container.SUBMISSION, service("iti80")));
    }

    private String service(String transaction) {
        return about.name() + "-" + transaction;
    }

    @Override
    public void configure() {
        String xca = "?audit=false&homeCommunityId=" + home;
        // a request or answer that IPF's validator refuses becomes a Failure with this community as location
        from("xca-iti38://" + service("iti38") + xca)
                .process(this::asExpected)
                .process(iti38RequestValidator())
                .process(this::query)
                .process(iti38ResponseValidator());
        from("xca-iti39://" + service("iti39") + xca)
                .process(this::asExpected)
                .process(iti39RequestValidator())
                .process(this::retrieve)
                .process(iti39ResponseValidator());
        from("xcf-iti63://" + service("iti63") + "?audit=false")
                .process(this::asExpected)
                .process(iti63RequestValidator())
                .process(this::fetch)
                .process(iti63ResponseValidator());
        from("xcdr-iti80://" + service("iti80") + "?audit=false")
                .process(this::asExpected)
                .process(iti80RequestValidator())
                .process(this::take)
                .process(iti80ResponseValidator());
        from("xcpd-iti55://" + service("iti55") + "?audit=false")
                .process(this::asExpected)
                .process(iti55RequestValidator())
                .process(this::discover)
                .process(iti55ResponseValidator());
    }

    /** Whether the answer goes where this community's answers are to go; after its delay. */
    private void asExpected(Exchange exchange) throws InterruptedException {
        boolean elsewhere = Callbacks.replyTo() != null;
        if (about.mode() != Neighbour.Mode.ANY && elsewhere != about.asynchronous()) {
            throw new IllegalStateException("asked in the wrong way: the answer is to go "
                    + (elsewhere ? "to an address of its own" : "back on the connection"));
        }
        Thread.sleep(about.delay());
        if (about.faults()) {
            // as a fault from ITI-38 and ITI-39, as an answer of type AE from ITI-55
            throw exchange.getIn().getBody() instanceof String
                    ? new IllegalStateException("out of order")
                    : new SoapFault("out of order", Soap12.getInstance().getReceiver());
        }
    }

    private void discover(Exchange exchange) throws Exception {
        String request = exchange.getIn().getBody(String.class);
        Discovery.Asked asked = Discovery.asked(request);
        Identifiable found = asked.described() && asked.identifiers().contains(shared) ? patient : null;
        exchange.getMessage().setBody(Discovery.answer(request, found, about.oid()));
        TtlHeaderUtils.setTtl(DatatypeFactory.newInstance().newDuration("PT1H"), exchange.getMessage());
    }

    private void query(Exchange exchange) {
        QueryRegistry request = exchange.getIn().getBody(QueryRegistry.class);
        QueryResponse answer = new QueryResponse(Status.SUCCESS);
        Stream<DocumentEntry> found = Stream.empty();
        if (request.getQuery() instanceof FindDocumentsQuery find) {
            found = entries.values().stream().filter(entry -> entry.getPatientId().equals(find.getPatientId())
                    && find.getStatus().contains(entry.getAvailabilityStatus()));
        } else if (request.getQuery() instanceof GetDocumentsQuery get && home.equals(get.getHomeCommunityId())) {
            found = entries.values().stream().filter(entry -> contains(get.getUuids(), entry.getEntryUuid())
                    || contains(get.getUniqueIds(), entry.getUniqueId()));
        } else {
            answer.setStatus(Status.FAILURE);
            answer.getErrors().add(request.getQuery() instanceof GetDocumentsQuery
                    ? error(ErrorCode.UNKNOWN_COMMUNITY, "the home asked for is not this one")
                    : error(ErrorCode.UNKNOWN_STORED_QUERY, "this gateway knows FindDocuments and GetDocuments"));
        }
        found.forEach(entry -> {
            if (request.getReturnType() == QueryReturnType.OBJECT_REF) {
                answer.getReferences().add(new ObjectReference(entry.getEntryUuid(), home));
            } else {
                answer.getDocumentEntries().add(entry);
            }
        });
        exchange.getMessage().setBody(answer);
    }

    private void retrieve(Exchange exchange) {
        List<RetrievedDocument> documents = new ArrayList<>();
        List<ErrorInfo> errors = new ArrayList<>();
        for (DocumentReference wanted : exchange.getIn().getBody(RetrieveDocumentSet.class).getDocuments()) {
            byte[] bytes = bodies.get(wanted.getDocumentUniqueId());
            if (!home.equals(wanted.getHomeCommunityId())) {
                errors.add(error(ErrorCode.UNKNOWN_COMMUNITY, wanted.getHomeCommunityId()));
            } else if (!repository.equals(wanted.getRepositoryUniqueId())) {
                errors.add(error(ErrorCode.UNKNOWN_REPOSITORY_ID, wanted.getRepositoryUniqueId()));
            } else if (bytes == null) {
                errors.add(error(ErrorCode.DOCUMENT_UNIQUE_ID_ERROR, wanted.getDocumentUniqueId()));
            } else {
                String mimeType = entries.get(wanted.getDocumentUniqueId()).getMimeType();
                documents.add(new RetrievedDocument(Samples.handler(bytes, mimeType), wanted, null, null, mimeType));
            }
        }
        Status status = errors.isEmpty() ? Status.SUCCESS
                : documents.isEmpty() ? Status.FAILURE : Status.PARTIAL_SUCCESS;
        RetrievedDocumentSet answer = new RetrievedDocumentSet(status, documents);
        answer.getErrors().addAll(errors);
        exchange.getMessage().setBody(answer);
    }

    private void fetch(Exchange exchange) {
        FetchQuery fetch = (FetchQuery) exchange.getIn().getBody(QueryRegistry.class).getQuery();
        QueryResponse answer = new QueryResponse(Status.SUCCESS);
        if (home.equals(fetch.getHomeCommunityId())) {
            entries.values().stream().filter(entry -> entry.getPatientId().equals(fetch.getPatientId())
                    && fetch.getClassCodes().stream().anyMatch(wanted -> same(wanted, entry.getClassCode())))
                    .forEach(entry -> {
                        // IPF writes an entry, and into it the document that names the entry
                        answer.getDocumentEntries().add(entry);
                        answer.getDocuments().add(new Document(entry,
                                Samples.handler(bodies.get(entry.getUniqueId()), entry.getMimeType())));
                    });
        } else {
            answer.setStatus(Status.FAILURE);
            answer.getErrors().add(error(ErrorCode.UNKNOWN_COMMUNITY, "the home asked for is not this one"));
        }
        exchange.getMessage().setBody(answer);
    }

    /** Takes what is for this community; it is asked for like everything else from then on. */
    private void take(Exchange exchange) throws IOException {
        ProvideAndRegisterDocumentSet request = exchange.getIn().getBody(ProvideAndRegisterDocumentSet.class);
        Response answer = new Response(Status.SUCCESS);
        if (home.equals(request.getTargetHomeCommunityId())) {
            for (Document document : request.getDocuments()) {
                DocumentEntry entry = document.getDocumentEntry();
                byte[] bytes;
                try (InputStream in = document.getDataHandler().getInputStream()) {
                    bytes = in.readAllBytes();
                }
                Samples.register(entry, bytes, "urn:uuid:" + UUID.randomUUID(), repository, home);
                bodies.put(entry.getUniqueId(), bytes);
                entries.put(entry.getUniqueId(), entry);
            }
        } else {
            answer.setStatus(Status.FAILURE);
            answer.getErrors().add(error(ErrorCode.UNKNOWN_COMMUNITY, request.getTargetHomeCommunityId()));
        }
        exchange.getMessage().setBody(answer);
    }

    private ErrorInfo error(ErrorCode code, String context) {
        return new ErrorInfo(code, context, Severity.ERROR, home, null);
    }

    /** A query names codes without what they are called. */
    private static boolean same(Code wanted, Code code) {
        return wanted.getCode().equals(code.getCode()) && wanted.getSchemeName().equals(code.getSchemeName());
    }

    private static boolean contains(List<String> list, String value) {
        return list != null && list.contains(value);
    }
}
