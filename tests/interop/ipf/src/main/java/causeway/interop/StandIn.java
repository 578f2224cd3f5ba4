package causeway.interop;

import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.APPROVED;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.DEPRECATED;
import static org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators.iti55RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.hl7v3.PixPdqV3CamelValidators.iti56RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti18RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti38RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti39RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti41RequestValidator;
import static org.openehealth.ipf.platform.camel.ihe.xds.XdsCamelValidators.iti43RequestValidator;

import java.io.InputStream;
import java.net.URI;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.xml.datatype.DatatypeFactory;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.openehealth.ipf.commons.ihe.xds.core.ebxml.ebxml30.ProvideAndRegisterDocumentSetRequestType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Association;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssociationType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Document;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
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
import org.openehealth.ipf.platform.camel.ihe.hl7v3.iti55.TtlHeaderUtils;

/**
 * A broker just good enough that the suite passes against it, for {@code selftest.sh}: it shows that each step of the
 * suite can be met at all, and is met by what IPF itself writes. It keeps everything in memory and judges only what
 * the suite tries.
 */
public final class StandIn extends RouteBuilder {
    private final String home;
    private final String repository;
    private final Codes codes;
    private final Federation federation;
    private final Set<Federation.Fault> faults = EnumSet.noneOf(Federation.Fault.class);
    private final Map<String, DocumentEntry> entries = new LinkedHashMap<>();
    private final Map<String, byte[]> bodies = new HashMap<>();
    private final List<SubmissionSet> sets = new ArrayList<>();
    private final List<Association> associations = new ArrayList<>();

    private StandIn(Arguments arguments, Callbacks callbacks) throws Exception {
        home = arguments.get("home");
        repository = arguments.get("repository");
        codes = new Codes(arguments.get("codes"));
        for (String fault : arguments.get("faults", "").split(",")) {
            if (!fault.isEmpty()) {
                faults.add(Federation.Fault.valueOf(fault.toUpperCase()));
            }
        }
        String peers = arguments.get("peers-base");
        Client client = new Client(peers, Pem.context(
                Pem.identity(arguments.get("cert"), arguments.get("key")), Pem.trust(arguments.get("ca"))), 30);
        String file = arguments.get("neighbours", null);
        List<Neighbour> neighbours = file != null ? Neighbour.read(file)
                : List.of(Neighbour.plain("responding-gateway", arguments.get("peer-home"), "", 0, 0));
        URI base = URI.create(peers);
        String next = peers.replace(":" + base.getPort() + "/", ":" + (base.getPort() + 1) + "/");
        Set<String> stopping = neighbours.stream().filter(Neighbour::stops).map(Neighbour::name)
                .collect(Collectors.toSet());
        federation = new Federation(neighbours, name -> stopping.contains(name) ? next : peers, client, callbacks,
                oid(), faults);
    }

    private String oid() {
        return home.substring("urn:oid:".length());
    }

    /**
     * Arguments: --port --home --repository --cert --key --ca --codes --peers-base URL, --peer-home URN or
     * --neighbours FILE, [--faults NAME,NAME], and the base of the addresses that it sends answers to: [--callbacks URL].
     */
    public static void main(String[] args) throws Exception {
        Arguments arguments = new Arguments(args);
        Container container = new Container(arguments);
        Callbacks callbacks = new Callbacks(container, arguments.number("port", 0));
        StandIn routes = new StandIn(arguments, callbacks);
        String listed = arguments.get("callbacks", null);
        arguments.refuseOthers();
        container.share("repository", "iti41", Map.of(Container.RETRIEVAL, "iti43"));
        container.share("initiating-gateway", "consumer-iti18", Map.of(Container.RETRIEVAL, "consumer-iti43"));
        SharedAddress responding = container.share("responding-gateway", "iti38", Map.of(
                Container.RETRIEVAL, "iti39", Container.DISCOVERY, "iti55", Container.LOCATION, "iti56"));
        if (!routes.faults.contains(Federation.Fault.ANYWHERE)) {
            responding.answersOnlyTo(listed);
        }
        container.serve(routes, callbacks);
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
        from("xcpd-iti55://iti55?audit=false").process(iti55RequestValidator()).process(this::discover);
        from("xcpd-iti56://iti56?audit=false").process(iti56RequestValidator()).process(this::locate);
        from("xds-iti18://consumer-iti18?audit=false").process(iti18RequestValidator())
                .process(exchange -> reply(exchange, federated(exchange.getIn().getBody(QueryRegistry.class))));
        from("xds-iti43://consumer-iti43?audit=false").process(iti43RequestValidator())
                .process(exchange -> reply(exchange, federated(exchange.getIn().getBody(RetrieveDocumentSet.class))));
    }

    /** Whoever has documents here is known. */
    private synchronized void discover(Exchange exchange) throws Exception {
        String request = exchange.getIn().getBody(String.class);
        Discovery.Asked asked = Discovery.asked(request);
        Stream<Identifiable> known = asked.described() ? entries.values().stream().map(DocumentEntry::getPatientId)
                .filter(id -> asked.identifiers().isEmpty() || asked.identifiers().contains(id)) : Stream.empty();
        if (faults.contains(Federation.Fault.WELCOMING)) {
            known = asked.identifiers().stream();
        }
        reply(exchange, Discovery.answer(request, known.findFirst().orElse(null), oid()));
        TtlHeaderUtils.setTtl(DatatypeFactory.newInstance().newDuration("PT1H"), exchange.getMessage());
    }

    private synchronized void locate(Exchange exchange) throws Exception {
        Identifiable asked = Discovery.located(exchange.getIn().getBody(String.class));
        boolean here = entries.values().stream().anyMatch(entry -> entry.getPatientId().equals(asked));
        reply(exchange, Discovery.locations(asked, here ? Map.of(home, asked) : Map.of()));
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

    private QueryResponse federated(QueryRegistry request) {
        if (request.getQuery() instanceof GetDocumentsQuery get) {
            String asked = get.getHomeCommunityId();
            return asked == null ? failure(ErrorCode.MISSING_HOME_COMMUNITY_ID)
                    : asked.equals(home) ? local(request)
                    : federation.knows(asked) ? federation.query(asked, request, new QueryResponse(Status.SUCCESS))
                    : failure(ErrorCode.UNKNOWN_COMMUNITY);
        }
        return federation.query(null, request, local(request));
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
        request.getDocuments().stream().filter(wanted -> !federation.knows(wanted.getHomeCommunityId()))
                .forEach(ours.getDocuments()::add);
        return judged(federation.retrieve(request, local(ours, true)));
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
