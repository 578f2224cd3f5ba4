package causeway.interop;

import static causeway.interop.Client.Transaction.ITI_18;
import static causeway.interop.Client.Transaction.ITI_18_MERGED;
import static causeway.interop.Client.Transaction.ITI_38;
import static causeway.interop.Client.Transaction.ITI_43;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.APPROVED;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.xml.namespace.QName;
import org.apache.cxf.binding.soap.SoapFault;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ObjectReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RetrieveDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.QueryReturnType;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorInfo;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Response;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Status;

/**
 * IPF as many communities around a broker, which asks them in their several ways: the communities of {@code
 * neighbours.txt}. And IPF as one more, whose Initiating Gateway asks the broker for patients and has answers sent to
 * an address of its own.
 */
final class Neighbourhood {
    private static final String UNAVAILABLE = "XDSUnavailableCommunity";
    private static final String ADDRESSING = "http://www.w3.org/2005/08/addressing";
    /** The suite's own community, when it asks for patients. */
    private static final String OWN_OID = "2.999.826.9.19";

    private final Suite suite;
    private final Client client;
    private final Client asynchronous;
    private final Client elsewhere;
    private final Report report;
    private final Codes codes;
    private final SSLContext tls;
    private final String gateways;
    private final List<Neighbour> neighbours;
    private boolean stopped;

    /** Arguments: --neighbours FILE --neighbours-base URL --callbacks PORT --callbacks-cert --callbacks-key --ca. */
    Neighbourhood(Suite suite, Client client, Report report, Codes codes, SSLContext tls, Arguments arguments)
            throws Exception {
        this.suite = suite;
        this.client = client;
        this.report = report;
        this.codes = codes;
        this.tls = tls;
        neighbours = Neighbour.read(arguments.get("neighbours"));
        gateways = arguments.get("neighbours-base");
        int port = arguments.number("callbacks", 0);
        Container container = new Container(port,
                Pem.identity(arguments.get("callbacks-cert"), arguments.get("callbacks-key")),
                Pem.trust(arguments.get("ca")));
        Callbacks callbacks = new Callbacks(container, port);
        container.start(callbacks);
        asynchronous = client.asynchronous(callbacks, UnaryOperator.identity());
        elsewhere = client.asynchronous(callbacks, address -> address.replace(":" + port + "/", ":" + (port + 1) + "/"));
    }

    /** The client whose answers come to addresses of their own. */
    Client asynchronous() {
        return asynchronous;
    }

    /** With what the broker's own community holds. */
    void run(Map<String, byte[]> bodies, Map<String, DocumentEntry> sent) {
        eachAlone();
        allTogether("neighbours-", bodies, sent);
        nobody();
        missingAlone();
        stop(bodies, sent);
        discovery("", client);
        discovery("asynchronous-", asynchronous);
        unlisted();
    }

    // ---- the broker's Initiating Gateway ------------------------------------------------------------------------

    private boolean delivers(Neighbour neighbour) {
        return !neighbour.late() && !neighbour.faults() && !(stopped && neighbour.stops());
    }

    private List<Neighbour> those(Predicate<Neighbour> which) {
        return neighbours.stream().filter(which).toList();
    }

    private void eachAlone() {
        for (Neighbour neighbour : those(this::delivers)) {
            String name = neighbour.name();
            report.step(name + "-iti18-get-documents", () -> {
                long start = System.nanoTime();
                QueryResponse answer = client.query(ITI_18, Suite.INITIATING, get(neighbour));
                Suite.succeeded(answer);
                Suite.same("uniqueIds", new TreeSet<>(neighbour.holdings().keySet()),
                        Suite.ids(answer.getDocumentEntries()));
                for (DocumentEntry entry : answer.getDocumentEntries()) {
                    Suite.same("homeCommunityId of an entry", neighbour.home(), entry.getHomeCommunityId());
                }
                notBefore(start, neighbour.delay());
            });
            report.step(name + "-iti43-retrieve", () -> {
                long start = System.nanoTime();
                Suite.retrieved(client.retrieve(ITI_43, Suite.INITIATING, wanted(neighbour)), neighbour.holdings(),
                        neighbour.home());
                notBefore(start, neighbour.delay());
            });
        }
    }

    /** One question to all: what came, and that who did not answer is named, in time. */
    private void allTogether(String prefix, Map<String, byte[]> bodies, Map<String, DocumentEntry> sent) {
        Map<String, byte[]> expected = new LinkedHashMap<>(bodies);
        those(this::delivers).forEach(neighbour -> expected.putAll(neighbour.holdings()));
        long longest = those(Neighbour::late).stream().mapToLong(Neighbour::delay).min().orElseThrow();
        long slowest = those(this::delivers).stream().mapToLong(Neighbour::delay).max().orElseThrow();
        Map<String, DocumentEntry> found = new LinkedHashMap<>();
        List<QueryResponse> answers = new ArrayList<>();
        report.step(prefix + "iti18-in-time", () -> {
            long start = System.nanoTime();
            answers.add(client.query(ITI_18_MERGED, Suite.INITIATING, Suite.leaf(suite.find(APPROVED))));
            notBefore(start, slowest);
            before(start, longest);
        });
        report.step(prefix + "iti18-who-is-missing-is-named", () -> missing(only(answers), Status.PARTIAL_SUCCESS,
                those(neighbour -> !delivers(neighbour))));
        report.step(prefix + "iti18-all-others-answers", () -> {
            for (DocumentEntry entry : only(answers).getDocumentEntries()) {
                Suite.need(found.put(entry.getUniqueId(), entry) == null, "twice: " + entry.getUniqueId());
            }
            // a broker may hold more of the patient from earlier runs
            Set<String> ids = new TreeSet<>(found.keySet());
            ids.removeIf(id -> suite.home().equals(found.get(id).getHomeCommunityId()) && !bodies.containsKey(id));
            Suite.same("documents", new TreeSet<>(expected.keySet()), ids);
        });
        report.step(prefix + "attributes-of-entry", () -> {
            Suite.compare(sent, found);
            for (Neighbour neighbour : those(this::delivers)) {
                Suite.compare(Samples.holdingsEntries(codes, neighbour.patient(suite.patient()),
                        neighbour.holdings().keySet()), found);
                for (var held : neighbour.holdings().entrySet()) {
                    DocumentEntry entry = found.get(held.getKey());
                    Suite.same("hash", Samples.sha1(held.getValue()), entry.getHash().toLowerCase());
                    Suite.same("size", (long) held.getValue().length, entry.getSize());
                    Suite.same("repositoryUniqueId", neighbour.repository(), entry.getRepositoryUniqueId());
                    Suite.same("homeCommunityId", neighbour.home(), entry.getHomeCommunityId());
                }
            }
        });
        report.step(prefix + "iti18-find-documents-objectref", () -> {
            QueryRegistry request = new QueryRegistry(suite.find(APPROVED));
            request.setReturnType(QueryReturnType.OBJECT_REF);
            QueryResponse answer = client.query(ITI_18, Suite.INITIATING, request);
            missing(answer, Status.PARTIAL_SUCCESS, those(neighbour -> !delivers(neighbour)));
            Set<String> homes = new TreeSet<>(Set.of(suite.home()));
            those(this::delivers).forEach(neighbour -> homes.add(neighbour.home()));
            Suite.same("homes of the references", homes, answer.getReferences().stream()
                    .map(ObjectReference::getHome).map(String::valueOf)
                    .collect(Collectors.toCollection(TreeSet::new)));
        });
        report.step(prefix + "iti43-from-all-at-once", () -> {
            RetrieveDocumentSet request = Suite.wanted(suite.repository(), suite.home(), bodies.keySet());
            neighbours.forEach(neighbour -> request.getDocuments().addAll(wanted(neighbour).getDocuments()));
            long start = System.nanoTime();
            RetrievedDocumentSet answer = client.retrieve(ITI_43, Suite.INITIATING, request);
            before(start, longest);
            missing(answer, Status.PARTIAL_SUCCESS, those(neighbour -> !delivers(neighbour)));
            Suite.bytes(answer, expected, null);
        });
    }

    /** Whoever does not know a patient has nothing of theirs, which is no error. */
    private void nobody() {
        report.step("neighbours-iti18-nobody", () -> {
            FindDocumentsQuery find = suite.find(APPROVED);
            find.setPatientId(suite.nobody());
            QueryResponse answer = client.query(ITI_18, Suite.INITIATING, Suite.leaf(find));
            Suite.need(answer.getDocumentEntries().isEmpty(), "found documents of somebody else");
            missing(answer, Status.PARTIAL_SUCCESS, those(neighbour -> !delivers(neighbour)));
        });
    }

    private void missingAlone() {
        for (Neighbour neighbour : those(neighbour -> !delivers(neighbour))) {
            report.step(neighbour.name() + "-iti18-is-named-in-time", () -> unavailable(neighbour));
        }
    }

    /** A community that was there and is gone: its connections are cut, and new ones refused. */
    private void stop(Map<String, byte[]> bodies, Map<String, DocumentEntry> sent) {
        report.step("neighbours-one-stops", () -> {
            HttpClient http = HttpClient.newBuilder().sslContext(tls).build();
            HttpRequest close = HttpRequest.newBuilder(URI.create(gateways).resolve("/close"))
                    .POST(HttpRequest.BodyPublishers.noBody()).build();
            Suite.same("HTTP status", 200, http.send(close, BodyHandlers.discarding()).statusCode());
            stopped = true;
        });
        for (Neighbour neighbour : those(Neighbour::stops)) {
            report.step(neighbour.name() + "-iti18-is-named-once-it-is-gone", () -> unavailable(neighbour));
        }
        allTogether("one-gone-", bodies, sent);
    }

    /** The community alone is asked: nothing came, it is named, and that took no longer than it is given. */
    private void unavailable(Neighbour neighbour) throws Exception {
        long start = System.nanoTime();
        QueryResponse answer = client.query(ITI_18, Suite.INITIATING, get(neighbour));
        before(start, neighbour.late() ? neighbour.delay() : neighbour.timeout());
        Suite.need(answer.getDocumentEntries().isEmpty(), "it answered");
        missing(answer, Status.FAILURE, List.of(neighbour));
    }

    // ---- the broker's Responding Gateway ------------------------------------------------------------------------

    private void discovery(String prefix, Client client) {
        Discovery.Wanted wanted = Discovery.Wanted.of(suite.patient());
        List<Discovery.Match> matches = new ArrayList<>();
        report.step(prefix + "iti55-patient-is-found", () -> {
            matches.addAll(found(client, wanted));
            Suite.need(client.timeToLive() != null, "no CorrelationTimeToLive");
        });
        report.step(prefix + "iti55-patient-is-found-without-an-id", () -> found(client, wanted.withoutId()));
        report.step(prefix + "iti55-nobody-is-found", () ->
                notFound(client, Discovery.Wanted.of(suite.nobody())));
        report.step(prefix + "iti55-another-birth-date-is-somebody-else", () -> {
            notFound(client, wanted.bornOn("19480706"));
            notFound(client, wanted.withoutId().bornOn("19480706"));
        });
        report.step(prefix + "iti38-as-discovered", () -> {
            Suite.need(!matches.isEmpty(), "nobody was discovered");
            FindDocumentsQuery find = suite.find(APPROVED);
            find.setPatientId(matches.get(0).patient());
            find.setHomeCommunityId(matches.get(0).home());
            QueryResponse answer =
                    Suite.query(client, ITI_38, Suite.RESPONDING, find, QueryReturnType.LEAF_CLASS);
            Suite.need(!answer.getDocumentEntries().isEmpty(), "no documents");
        });
        report.step(prefix + "iti56-where-the-patient-is", () -> Suite.same("locations",
                Map.of(suite.home(), suite.patient()), Discovery.locations(
                        client.locate(Suite.RESPONDING, Discovery.locate(suite.patient())))));
    }

    private List<Discovery.Match> found(Client client, Discovery.Wanted wanted) throws Exception {
        Discovery.Answer answer = discover(client, wanted);
        Suite.same("acknowledgement", "AA", answer.acknowledgement());
        Suite.same("queryResponseCode", "OK", answer.code());
        Suite.same("matches", List.of(new Discovery.Match(suite.patient(), suite.home(), Discovery.FAMILY,
                Discovery.BORN)), answer.matches());
        return answer.matches();
    }

    private void notFound(Client client, Discovery.Wanted wanted) throws Exception {
        Discovery.Answer answer = discover(client, wanted);
        Suite.same("acknowledgement", "AA", answer.acknowledgement());
        Suite.same("queryResponseCode", "NF", answer.code());
        Suite.same("matches", List.of(), answer.matches());
    }

    private Discovery.Answer discover(Client client, Discovery.Wanted wanted) throws Exception {
        String request = Discovery.request(wanted, OWN_OID, suite.home().substring("urn:oid:".length()));
        return Discovery.read(client.discover(Suite.RESPONDING, request));
    }

    /** Whoever asks cannot have the broker call any address they like. */
    private void unlisted() {
        report.step("asynchronous-unlisted-address-is-refused", () -> {
            try {
                elsewhere.query(ITI_38, Suite.RESPONDING, Suite.leaf(suite.find(APPROVED)));
            } catch (SoapFault refused) {
                List<QName> subcodes = refused.getSubCodes();
                Suite.need(subcodes != null && subcodes.contains(new QName(ADDRESSING, "DestinationUnreachable")),
                        "a fault with " + subcodes + ": " + refused.getMessage());
                return;
            }
            throw new Failed("it was answered");
        });
    }

    // ---- requests and judgements --------------------------------------------------------------------------------

    private static QueryRegistry get(Neighbour neighbour) {
        GetDocumentsQuery get = new GetDocumentsQuery();
        get.setHomeCommunityId(neighbour.home());
        get.setUniqueIds(List.copyOf(neighbour.holdings().keySet()));
        return Suite.leaf(get);
    }

    private static RetrieveDocumentSet wanted(Neighbour neighbour) {
        return Suite.wanted(neighbour.repository(), neighbour.home(), neighbour.holdings().keySet());
    }

    private static QueryResponse only(List<QueryResponse> answers) throws Failed {
        Suite.need(!answers.isEmpty(), "there was no answer");
        return answers.get(0);
    }

    /** Each of these is named by an error of its own, and nobody else is. */
    private static void missing(Response answer, Status status, List<Neighbour> missing) throws Failed {
        Map<String, String> expected = new TreeMap<>();
        missing.forEach(neighbour -> expected.put(neighbour.home(), UNAVAILABLE));
        Map<String, String> named = new TreeMap<>();
        List<String> known = Suite.codes(answer);
        for (int i = 0; i < answer.getErrors().size(); i++) {
            ErrorInfo error = answer.getErrors().get(i);
            Suite.need(named.put(String.valueOf(error.getLocation()), known.get(i)) == null,
                    "named twice: " + error.getLocation());
        }
        Suite.need(expected.equals(named), "expected to be named " + expected + ", but are " + named
                + answer.getErrors().stream().map(ErrorInfo::getCodeContext).toList());
        Suite.same("status", status, answer.getStatus());
    }

    private static void before(long start, long millis) throws Failed {
        long took = (System.nanoTime() - start) / 1_000_000;
        Suite.need(took < millis, "took " + took + " ms, not less than " + millis);
    }

    private static void notBefore(long start, long millis) throws Failed {
        long took = (System.nanoTime() - start) / 1_000_000;
        Suite.need(took >= millis, "took " + took + " ms: nobody waited " + millis);
    }
}
