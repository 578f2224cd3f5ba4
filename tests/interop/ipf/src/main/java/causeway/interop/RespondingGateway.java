package causeway.interop;

import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti38RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti38ResponseValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti39RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti39ResponseValidator;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ObjectReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.DocumentReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RetrieveDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.QueryReturnType;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorCode;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorInfo;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocument;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Severity;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Status;

/** A neighbouring community in one process: an XCA Responding Gateway with a handful of documents of one patient. */
public final class RespondingGateway extends RouteBuilder {
    private static final String QUERY = "xca-iti38";
    private static final String RETRIEVE = "xca-iti39";

    private final String home;
    private final String repository;
    private final long delay;
    private final Map<String, byte[]> bodies;
    private final Map<String, DocumentEntry> entries = new LinkedHashMap<>();

    private RespondingGateway(Arguments arguments) throws Exception {
        home = arguments.get("home");
        repository = arguments.get("repository");
        delay = arguments.number("delay-ms", 0);
        bodies = Samples.holdings(repository, arguments.number("documents", 4));
        Codes codes = new Codes(arguments.get("codes"));
        Identifiable patient = Identifiable.parse(arguments.get("patient"));
        int n = 0;
        for (Map.Entry<String, byte[]> body : bodies.entrySet()) {
            String id = body.getKey();
            // the same id at each start, so that a harness may restart the gateway between query and retrieval
            String uuid = "urn:uuid:" + UUID.nameUUIDFromBytes(id.getBytes(StandardCharsets.UTF_8));
            DocumentEntry entry = Samples.entry(codes, Samples.kind(++n), patient, id, "Neighbour's document " + n);
            Samples.register(entry, body.getValue(), uuid, repository, home);
            entries.put(id, entry);
        }
    }

    /** Arguments: --port --home --repository --patient --cert --key --ca --codes [--documents N] [--delay-ms N]. */
    public static void main(String[] args) throws Exception {
        Arguments arguments = new Arguments(args);
        RespondingGateway routes = new RespondingGateway(arguments);
        Container container = new Container(arguments);
        arguments.refuseOthers();
        container.share("responding-gateway", RETRIEVE, QUERY);
        container.serve(routes);
    }

    @Override
    public void configure() {
        // a request or answer that IPF's validator refuses becomes a Failure with this community as location
        from(QUERY + "://" + QUERY + "?audit=false&homeCommunityId=" + home)
                .process(iti38RequestValidator())
                .process(this::query)
                .process(iti38ResponseValidator());
        from(RETRIEVE + "://" + RETRIEVE + "?audit=false&homeCommunityId=" + home)
                .process(iti39RequestValidator())
                .process(this::retrieve)
                .process(iti39ResponseValidator());
    }

    private void query(Exchange exchange) throws InterruptedException {
        Thread.sleep(delay);
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

    private void retrieve(Exchange exchange) throws InterruptedException {
        Thread.sleep(delay);
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

    private ErrorInfo error(ErrorCode code, String context) {
        return new ErrorInfo(code, context, Severity.ERROR, home, null);
    }

    private static boolean contains(List<String> list, String value) {
        return list != null && list.contains(value);
    }
}
