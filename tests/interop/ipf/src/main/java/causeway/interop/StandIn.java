package causeway.interop;

import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.APPROVED;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.DEPRECATED;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti18RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti38RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti39RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti41RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti43RequestValidator;

import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Predicate;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.openehealth.ipf.commons.ihe.xds.core.ebxml.ebxml30.ProvideAndRegisterDocumentSetRequestType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Association;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssociationType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Document;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ObjectReference;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.SubmissionSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.DocumentReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.ProvideAndRegisterDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RetrieveDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindSubmissionSetsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetAllQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetSubmissionSetAndContentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.Query;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.QueryReturnType;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorCode;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorInfo;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Response;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocument;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Severity;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Status;

/**
 * A broker just good enough that the suite passes against it, for {@code selftest.sh}: it shows that each step of the
 * suite can be met at all, and is met by what IPF itself writes. It keeps everything in memory and judges only what
 * the suite tries.
 */
public final class StandIn extends RouteBuilder {
    private final String home;
    private final String repository;
    private final String peerHome;
    private final Codes codes;
    private final Client peer;
    private final Map<String, DocumentEntry> entries = new LinkedHashMap<>();
    private final Map<String, byte[]> bodies = new HashMap<>();
    private final List<SubmissionSet> sets = new ArrayList<>();
    private final List<Association> associations = new ArrayList<>();

    private StandIn(Arguments arguments) throws Exception {
        home = arguments.get("home");
        repository = arguments.get("repository");
        codes = new Codes(arguments.get("codes"));
        peerHome = arguments.get("peer-home");
        peer = new Client(arguments.get("peer-base"), Pem.context(
                Pem.identity(arguments.get("cert"), arguments.get("key")), Pem.trust(arguments.get("ca"))), 30);
    }

    /** Arguments: --port --home --repository --cert --key --ca --codes --peer-home --peer-base. */
    public static void main(String[] args) throws Exception {
        Arguments arguments = new Arguments(args);
        StandIn routes = new StandIn(arguments);
        Container container = new Container(arguments);
        arguments.refuseOthers();
        container.share("repository", "iti43", "iti41");
        container.share("initiating-gateway", "consumer-iti43", "consumer-iti18");
        container.share("responding-gateway", "iti39", "iti38");
        container.serve(routes);
    }

    @Override
    public void configure() {
        String xca = "?audit=false&homeCommunityId=" + home;
        from("xds-iti41://iti41?audit=false").process(this::complete).process(iti41RequestValidator())
                .process(this::submit);
        from("xds-iti18://registry?audit=false").process(this::answerable).process(iti18RequestValidator())
                .process(exchange -> reply(exchange, local(exchange.getIn().getBody(QueryRegistry.class))));
        from("xds-iti43://iti43?audit=false").process(iti43RequestValidator()).process(
                exchange -> reply(exchange, local(exchange.getIn().getBody(RetrieveDocumentSet.class), false)));
        from("xca-iti38://iti38" + xca).process(iti38RequestValidator())
                .process(exchange -> reply(exchange, foreign(exchange.getIn().getBody(QueryRegistry.class))));
        from("xca-iti39://iti39" + xca).process(iti39RequestValidator()).process(
                exchange -> reply(exchange, local(exchange.getIn().getBody(RetrieveDocumentSet.class), true)));
        from("xds-iti18://consumer-iti18?audit=false").process(iti18RequestValidator())
                .process(exchange -> reply(exchange, federated(exchange.getIn().getBody(QueryRegistry.class))));
        from("xds-iti43://consumer-iti43?audit=false").process(iti43RequestValidator())
                .process(exchange -> reply(exchange, federated(exchange.getIn().getBody(RetrieveDocumentSet.class))));
    }

    // ---- submission -------------------------------------------------------------------------------------------

    /** Before IPF turns the message into its model, where a missing document is no registry error. */
    private void complete(Exchange exchange) {
        if (exchange.getIn().getBody(ProvideAndRegisterDocumentSetRequestType.class).getDocument().isEmpty()) {
            reply(exchange, refusal(ErrorCode.MISSING_DOCUMENT));
            exchange.setRouteStop(true);
        }
    }

    private synchronized void submit(Exchange exchange) throws Exception {
        var request = exchange.getIn().getBody(ProvideAndRegisterDocumentSet.class);
        SubmissionSet set = request.getSubmissionSet();
        Map<String, String> uuids = new HashMap<>();
        Map<String, byte[]> bytes = new HashMap<>();
        set.setEntryUuid(uuid(uuids, set.getEntryUuid()));
        ErrorCode error = sets.stream().anyMatch(known -> known.getUniqueId().equals(set.getUniqueId()))
                ? ErrorCode.DUPLICATE_UNIQUE_ID_IN_REGISTRY : null;
        for (Document document : request.getDocuments()) {
            DocumentEntry entry = document.getDocumentEntry();
            try (InputStream in = document.getDataHandler().getInputStream()) {
                bytes.put(entry.getUniqueId(), in.readAllBytes());
            }
            String hash = Samples.sha1(bytes.get(entry.getUniqueId()));
            DocumentEntry known = entries.get(entry.getUniqueId());
            if (entry.getHash() != null && !entry.getHash().equalsIgnoreCase(hash)) {
                error = ErrorCode.REPOSITORY_METADATA_ERROR;
            } else if (known != null && !known.getHash().equals(hash)) {
                error = ErrorCode.NON_IDENTICAL_HASH;
            } else if (entry.getClassCode().equals(codes.code("unlisted.classCode"))) {
                error = ErrorCode.REGISTRY_METADATA_ERROR;
            }
            Samples.register(entry, bytes.get(entry.getUniqueId()), uuid(uuids, entry.getEntryUuid()), repository, home);
        }
        for (Association association : request.getAssociations()) {
            association.setSourceUuid(uuid(uuids, association.getSourceUuid()));
            association.setTargetUuid(uuid(uuids, association.getTargetUuid()));
            association.setEntryUuid(uuid(uuids, association.getEntryUuid()));
            association.setAvailabilityStatus(APPROVED);
            if (association.getAssociationType() == AssociationType.REPLACE) {
                DocumentEntry replaced = entries.values().stream()
                        .filter(entry -> entry.getEntryUuid().equals(association.getTargetUuid()))
                        .findFirst().orElseThrow();
                if (replaced.getAvailabilityStatus() == DEPRECATED) {
                    error = ErrorCode.REGISTRY_DEPRECATED_DOCUMENT_ERROR;
                }
                replaced.setAvailabilityStatus(DEPRECATED);
            }
        }
        if (error != null) {
            reply(exchange, refusal(error));
            return;
        }
        set.setAvailabilityStatus(APPROVED);
        set.setHomeCommunityId(home);
        sets.add(set);
        associations.addAll(request.getAssociations());
        bodies.putAll(bytes);
        request.getDocuments().forEach(
                document -> entries.put(document.getDocumentEntry().getUniqueId(), document.getDocumentEntry()));
        reply(exchange, new Response(Status.SUCCESS));
    }

    private static String uuid(Map<String, String> uuids, String id) {
        return id.startsWith("urn:uuid:") ? id : uuids.computeIfAbsent(id, any -> "urn:uuid:" + UUID.randomUUID());
    }

    private Response refusal(ErrorCode code) {
        Response response = new Response(Status.FAILURE);
        response.getErrors().add(error(code));
        return response;
    }

    private ErrorInfo error(ErrorCode code) {
        return new ErrorInfo(code, "refused", Severity.ERROR, home, null);
    }

    // ---- queries ----------------------------------------------------------------------------------------------

    /** Before IPF's validator, which has a metadata error for it. */
    private void answerable(Exchange exchange) {
        var query = exchange.getIn().getBody(QueryRegistry.class).getQuery();
        if (query instanceof FindDocumentsQuery find && (find.getStatus() == null || find.getStatus().isEmpty())) {
            reply(exchange, failure(ErrorCode.STORED_QUERY_MISSING_PARAM));
            exchange.setRouteStop(true);
        }
    }

    private synchronized QueryResponse local(QueryRegistry request) {
        Query query = request.getQuery();
        QueryResponse answer = new QueryResponse(Status.SUCCESS);
        Predicate<DocumentEntry> wanted = entry -> false;
        if (query instanceof FindDocumentsQuery find) {
            wanted = entry -> entry.getPatientId().equals(find.getPatientId())
                    && find.getStatus().contains(entry.getAvailabilityStatus())
                    && (find.getClassCodes() == null || find.getClassCodes().stream().anyMatch(
                            code -> code.getCode().equals(entry.getClassCode().getCode())));
        } else if (query instanceof GetDocumentsQuery get) {
            wanted = entry -> contains(get.getUuids(), entry.getEntryUuid())
                    || contains(get.getUniqueIds(), entry.getUniqueId());
        } else if (query instanceof GetAllQuery get) {
            wanted = entry -> entry.getPatientId().equals(get.getPatientId())
                    && get.getStatusDocuments().contains(entry.getAvailabilityStatus());
            answer.getSubmissionSets().addAll(sets);
            answer.getAssociations().addAll(associations);
        } else if (query instanceof GetSubmissionSetAndContentsQuery get) {
            for (SubmissionSet set : sets) {
                if (set.getUniqueId().equals(get.getUniqueId())) {
                    answer.getSubmissionSets().add(set);
                    associations.stream().filter(a -> a.getSourceUuid().equals(set.getEntryUuid()))
                            .forEach(answer.getAssociations()::add);
                }
            }
            wanted = entry -> answer.getAssociations().stream()
                    .anyMatch(a -> a.getTargetUuid().equals(entry.getEntryUuid()));
        } else if (query instanceof FindSubmissionSetsQuery) {
            answer.getSubmissionSets().addAll(sets);
        }
        entries.values().stream().filter(wanted).forEach(answer.getDocumentEntries()::add);
        if (request.getReturnType() == QueryReturnType.OBJECT_REF) {
            answer.getDocumentEntries().forEach(
                    entry -> answer.getReferences().add(new ObjectReference(entry.getEntryUuid(), home)));
            answer.getDocumentEntries().clear();
        }
        return answer;
    }

    private QueryResponse foreign(QueryRegistry request) {
        boolean elsewhere = request.getQuery() instanceof GetDocumentsQuery get && !home.equals(get.getHomeCommunityId());
        return elsewhere ? failure(ErrorCode.UNKNOWN_COMMUNITY) : local(request);
    }

    private QueryResponse federated(QueryRegistry request) throws Exception {
        if (request.getQuery() instanceof GetDocumentsQuery get) {
            String asked = get.getHomeCommunityId();
            return asked == null ? failure(ErrorCode.MISSING_HOME_COMMUNITY_ID)
                    : asked.equals(home) ? local(request)
                    : asked.equals(peerHome) ? peer.query(Client.Transaction.ITI_38, "/responding-gateway", request)
                    : failure(ErrorCode.UNKNOWN_COMMUNITY);
        }
        QueryResponse answer = local(request);
        QueryResponse theirs = peer.query(Client.Transaction.ITI_38, "/responding-gateway", request);
        answer.getDocumentEntries().addAll(theirs.getDocumentEntries());
        answer.getReferences().addAll(theirs.getReferences());
        return answer;
    }

    private QueryResponse failure(ErrorCode code) {
        QueryResponse answer = new QueryResponse(Status.FAILURE);
        answer.getErrors().add(error(code));
        return answer;
    }

    private static boolean contains(List<String> list, String value) {
        return list != null && list.contains(value);
    }

    // ---- retrieval --------------------------------------------------------------------------------------------

    private synchronized RetrievedDocumentSet local(RetrieveDocumentSet request, boolean homeMatters) {
        RetrievedDocumentSet answer = new RetrievedDocumentSet(Status.SUCCESS);
        for (DocumentReference wanted : request.getDocuments()) {
            byte[] bytes = bodies.get(wanted.getDocumentUniqueId());
            if (homeMatters && !home.equals(wanted.getHomeCommunityId())) {
                answer.getErrors().add(error(ErrorCode.UNKNOWN_COMMUNITY));
            } else if (!repository.equals(wanted.getRepositoryUniqueId())) {
                answer.getErrors().add(error(ErrorCode.UNKNOWN_REPOSITORY_ID));
            } else if (bytes == null) {
                answer.getErrors().add(error(ErrorCode.DOCUMENT_UNIQUE_ID_ERROR));
            } else {
                String type = entries.get(wanted.getDocumentUniqueId()).getMimeType();
                answer.getDocuments().add(
                        new RetrievedDocument(Samples.handler(bytes, type), wanted, null, null, type));
            }
        }
        return judged(answer);
    }

    private RetrievedDocumentSet federated(RetrieveDocumentSet request) throws Exception {
        RetrieveDocumentSet ours = new RetrieveDocumentSet();
        RetrieveDocumentSet theirs = new RetrieveDocumentSet();
        request.getDocuments().forEach(
                wanted -> (peerHome.equals(wanted.getHomeCommunityId()) ? theirs : ours).getDocuments().add(wanted));
        RetrievedDocumentSet answer = local(ours, true);
        if (!theirs.getDocuments().isEmpty()) {
            var part = peer.retrieve(Client.Transaction.ITI_39, "/responding-gateway", theirs);
            answer.getDocuments().addAll(part.getDocuments());
            answer.getErrors().addAll(part.getErrors());
        }
        return judged(answer);
    }

    private static RetrievedDocumentSet judged(RetrievedDocumentSet answer) {
        answer.setStatus(answer.getErrors().isEmpty() ? Status.SUCCESS
                : answer.getDocuments().isEmpty() ? Status.FAILURE : Status.PARTIAL_SUCCESS);
        return answer;
    }

    private static void reply(Exchange exchange, Object answer) {
        exchange.getMessage().setBody(answer);
    }
}
