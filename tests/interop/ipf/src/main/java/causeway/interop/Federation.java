package causeway.interop;

import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.UnaryOperator;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RetrieveDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorCode;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorInfo;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Response;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocument;
import org.openehealth.ipf.commons.ihe.xds.core.responses.RetrievedDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Severity;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Status;

/** The stand-in's way to its neighbours: all are asked at once, each in its way and within its time. */
final class Federation {
    /** What a broker may get wrong, for {@code selftest.sh}: the steps of the suite must see it. */
    enum Fault {
        /** Who did not answer is not told. */
        UNNAMED,
        /** It waits for everybody, however long it takes. */
        PATIENT,
        /** Documents come through with another first byte. */
        ALTERED,
        /** Everybody is asked to answer on the connection. */
        CONNECTED,
        /** Everybody is asked by the same patient id. */
        UNDISCOVERED,
        /** Answers are sent wherever a request says. */
        ANYWHERE,
        /** Everybody is found. */
        WELCOMING
    }

    private static final long LONG = 60_000;

    private final List<Neighbour> neighbours;
    private final UnaryOperator<String> bases;
    private final Client client;
    private final Client asynchronous;
    private final String oid;
    private final Set<Fault> faults;
    private final ExecutorService threads = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    });

    /** The neighbours, and by name the base of their addresses. */
    Federation(List<Neighbour> neighbours, UnaryOperator<String> bases, Client client, Callbacks callbacks, String oid,
            Set<Fault> faults) {
        this.neighbours = neighbours;
        this.bases = bases;
        this.client = client;
        asynchronous = client.asynchronous(callbacks, UnaryOperator.identity());
        this.oid = oid;
        this.faults = faults;
    }

    boolean knows(String home) {
        return neighbours.stream().anyMatch(neighbour -> neighbour.home().equals(home));
    }

    /** What all of them say, or one. */
    QueryResponse query(String home, QueryRegistry request, QueryResponse local) {
        Map<Neighbour, Work<QueryResponse>> asked = new LinkedHashMap<>();
        for (Neighbour neighbour : neighbours) {
            if (home == null || home.equals(neighbour.home())) {
                asked.put(neighbour, () -> query(neighbour, request));
            }
        }
        for (QueryResponse theirs : ask(asked, local)) {
            local.getDocumentEntries().addAll(theirs.getDocumentEntries());
            local.getReferences().addAll(theirs.getReferences());
        }
        boolean delivered = home == null || local.getErrors().isEmpty();
        local.setStatus(local.getErrors().isEmpty() ? Status.SUCCESS
                : delivered ? Status.PARTIAL_SUCCESS : Status.FAILURE);
        return local;
    }

    private QueryResponse query(Neighbour neighbour, QueryRegistry request) throws Exception {
        QueryRegistry sent = request;
        if (neighbour.discovered() && !faults.contains(Fault.UNDISCOVERED)
                && request.getQuery() instanceof FindDocumentsQuery find) {
            Identifiable there = discover(neighbour, find.getPatientId());
            if (there == null) {
                return new QueryResponse(Status.SUCCESS);
            }
            FindDocumentsQuery translated = new FindDocumentsQuery();
            translated.setPatientId(there);
            translated.setStatus(find.getStatus());
            sent = new QueryRegistry(translated);
            sent.setReturnType(request.getReturnType());
        }
        return to(neighbour).query(Client.Transaction.ITI_38, path(neighbour), sent);
    }

    private Identifiable discover(Neighbour neighbour, Identifiable patient) throws Exception {
        String answer = to(neighbour).discover(path(neighbour), Discovery.request(Discovery.Wanted.of(patient), oid, neighbour.oid()));
        Discovery.Answer read = Discovery.read(answer);
        if (!read.acknowledgement().equals("AA")) {
            throw new Failed("no answer but " + read.acknowledgement());
        }
        return read.matches().stream().map(Discovery.Match::patient).findFirst().orElse(null);
    }

    /** The documents that are theirs. */
    RetrievedDocumentSet retrieve(RetrieveDocumentSet request, RetrievedDocumentSet local) throws Exception {
        Map<Neighbour, Work<RetrievedDocumentSet>> asked = new LinkedHashMap<>();
        for (Neighbour neighbour : neighbours) {
            RetrieveDocumentSet share = new RetrieveDocumentSet();
            request.getDocuments().stream().filter(wanted -> neighbour.home().equals(wanted.getHomeCommunityId()))
                    .forEach(share.getDocuments()::add);
            if (!share.getDocuments().isEmpty()) {
                asked.put(neighbour,
                        () -> to(neighbour).retrieve(Client.Transaction.ITI_39, path(neighbour), share));
            }
        }
        for (RetrievedDocumentSet theirs : ask(asked, local)) {
            local.getErrors().addAll(theirs.getErrors());
            for (RetrievedDocument document : theirs.getDocuments()) {
                try (InputStream in = document.getDataHandler().getInputStream()) {
                    byte[] bytes = in.readAllBytes();
                    bytes[0] += faults.contains(Fault.ALTERED) ? 1 : 0;
                    document.setDataHandler(Samples.handler(bytes, document.getMimeType()));
                }
                local.getDocuments().add(document);
            }
        }
        return local;
    }

    private interface Work<T> {
        T run() throws Exception;
    }

    /** Who does not answer within its time is named in {@code answer}. */
    private <T> List<T> ask(Map<Neighbour, Work<T>> asked, Response answer) {
        long start = System.nanoTime();
        Map<Neighbour, Future<T>> running = new LinkedHashMap<>();
        asked.forEach((neighbour, work) -> running.put(neighbour, threads.submit(work::run)));
        List<T> answers = new ArrayList<>();
        running.forEach((neighbour, future) -> {
            boolean unhurried = neighbour.timeout() == 0 || faults.contains(Fault.PATIENT);
            long left = (unhurried ? LONG : neighbour.timeout()) - (System.nanoTime() - start) / 1_000_000;
            try {
                answers.add(Objects.requireNonNull(future.get(Math.max(left, 0), TimeUnit.MILLISECONDS)));
            } catch (TimeoutException | ExecutionException | InterruptedException missing) {
                if (!faults.contains(Fault.UNNAMED)) {
                    answer.getErrors().add(new ErrorInfo(ErrorCode.UNAVAILABLE_COMMUNITY, missing.toString(),
                            Severity.ERROR, neighbour.home(), null));
                }
            }
        });
        return answers;
    }

    private Client to(Neighbour neighbour) {
        Client way = neighbour.asynchronous() && !faults.contains(Fault.CONNECTED) ? asynchronous : client;
        return way.to(bases.apply(neighbour.name()));
    }

    private static String path(Neighbour neighbour) {
        return "/" + neighbour.name();
    }
}
