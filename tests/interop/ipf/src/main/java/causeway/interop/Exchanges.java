package causeway.interop;

import static causeway.interop.Client.Transaction.ITI_41;
import static causeway.interop.Client.Transaction.ITI_43;
import static causeway.interop.Client.Transaction.ITI_63;
import static causeway.interop.Client.Transaction.ITI_80;

import java.io.InputStream;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Document;
import org.openehealth.ipf.commons.ihe.xds.core.requests.ProvideAndRegisterDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.QueryRegistry;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FetchQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.QueryReturnType;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorCode;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;

/** Documents that change communities: provided (ITI-80) and fetched (ITI-63), at the broker and by way of it. */
final class Exchanges {
    private final Suite suite;
    private final Client client;
    private final Report report;
    private final String uniqueId = Suite.newUniqueId();

    Exchanges(Suite suite, Client client, Report report) {
        this.suite = suite;
        this.client = client;
        this.report = report;
    }

    /** At the Responding Gateway, as another community's gateway. */
    void run() {
        report.step("iti80-provide", () -> {
            Suite.succeeded(client.change(ITI_80, Suite.RESPONDING, request(uniqueId, suite.home())));
            Suite.retrieved(
                    client.retrieve(ITI_43, Suite.REPOSITORY, Suite.wanted(suite.repository(), null, Set.of(uniqueId))),
                    Map.of(uniqueId, Samples.summary(uniqueId)), null);
        });
        report.step("iti80-unknown-community", () -> Suite.failedWith(
                client.change(ITI_80, Suite.RESPONDING, request(Suite.newUniqueId(), Suite.NOWHERE)),
                ErrorCode.UNKNOWN_COMMUNITY));
        report.step("iti63-fetch", () -> fetched(Suite.RESPONDING, suite.home(), uniqueId));
        report.step("iti63-unknown-community", () -> Suite.failedWith(
                client.query(ITI_63, Suite.RESPONDING, fetch(Suite.NOWHERE)), ErrorCode.UNKNOWN_COMMUNITY));
    }

    /** At the Initiating Gateway, for the community behind it. */
    void federated(String home) {
        String given = Suite.newUniqueId();
        report.step("federated-iti41-provide", () -> Suite.succeeded(
                client.change(ITI_41, Suite.INITIATING, request(given, home))));
        report.step("federated-iti41-unknown-community", () -> Suite.failedWith(
                client.change(ITI_41, Suite.INITIATING, request(Suite.newUniqueId(), Suite.NOWHERE)),
                ErrorCode.UNKNOWN_COMMUNITY));
        report.step("federated-iti63-fetch", () -> fetched(Suite.INITIATING, home, given));
    }

    private ProvideAndRegisterDocumentSet request(String uniqueId, String home) {
        ProvideAndRegisterDocumentSet request = suite.oneDocument(uniqueId);
        request.setTargetHomeCommunityId(home);
        return request;
    }

    private QueryRegistry fetch(String home) {
        FetchQuery fetch = new FetchQuery();
        fetch.setPatientId(suite.patient());
        fetch.setHomeCommunityId(home);
        fetch.setClassCodes(List.of(suite.sample(uniqueId).getClassCode()));
        QueryRegistry request = new QueryRegistry(fetch);
        request.setReturnType(QueryReturnType.LEAF_CLASS_WITH_REPOSITORY_ITEM);
        return request;
    }

    /** A fetch's answer has the document with its metadata, as it was given. */
    private void fetched(String service, String home, String uniqueId) throws Exception {
        QueryResponse answer = client.query(ITI_63, service, fetch(home));
        Suite.succeeded(answer);
        for (Document document : answer.getDocuments()) {
            Suite.same("homeCommunityId of a document", home, document.getDocumentEntry().getHomeCommunityId());
        }
        List<Document> found = answer.getDocuments().stream()
                .filter(document -> uniqueId.equals(document.getDocumentEntry().getUniqueId())).toList();
        Suite.need(found.size() == 1, found.size() + " documents of the id " + uniqueId + " among " + answer.getDocuments()
                .stream().map(document -> document.getDocumentEntry().getUniqueId()).toList());
        Suite.compare(suite.sample(uniqueId), found.get(0).getDocumentEntry());
        try (InputStream in = found.get(0).getDataHandler().getInputStream()) {
            Suite.need(Arrays.equals(Samples.summary(uniqueId), in.readAllBytes()), "other bytes than were given");
        }
    }
}
