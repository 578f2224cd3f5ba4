package causeway.interop;

import static causeway.interop.Client.Transaction.ITI_18;
import static causeway.interop.Client.Transaction.ITI_38;
import static causeway.interop.Client.Transaction.ITI_39;
import static causeway.interop.Client.Transaction.ITI_43;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.APPROVED;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.DEPRECATED;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.cert.CertificateException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.function.Function;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssigningAuthority;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Association;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssociationLabel;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssociationType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Document;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ObjectReference;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.PatientInfo;
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
import org.openehealth.ipf.commons.ihe.xds.core.responses.Status;

/** IPF as Document Source, Document Consumer and Initiating Gateway against a broker. */
public final class Suite {
    static final String REGISTRY = "/registry";
    static final String REPOSITORY = "/repository";
    static final String INITIATING = "/initiating-gateway";
    static final String RESPONDING = "/responding-gateway";

    private static final String NHS_NUMBER = "2.16.840.1.113883.2.1.4.1";
    /** Below the example arc, so no identifier of a run can be mistaken for a real one. */
    private static final String UNIQUE_IDS = "2.999.826.9.47.";
    private static final String SOURCE_ID = "2.999.826.9.2";
    static final String NOWHERE = "urn:oid:2.999.826.9.404";
    private static final int LARGE = 3 * 1024 * 1024 + 7;

    private final Report report = new Report();
    private final Arguments arguments;
    private final Client client;
    private final Codes codes;
    private final SSLContext anonymous;
    private final String base;
    private final String home;
    private final String repository;
    private final String federatedHome;
    private final String federatedRepository;
    private final int federatedDocuments;
    private final boolean administrator;
    private final boolean provider;
    private final Identifiable patient;
    private final Neighbourhood neighbourhood;

    /** What this run submitted: uniqueId to bytes and to the entry as it was sent. */
    private final Map<String, byte[]> bodies = new LinkedHashMap<>();
    private final Map<String, DocumentEntry> sent = new LinkedHashMap<>();
    private SubmissionSet submissionSet;
    /** What the registry answered for them, by uniqueId: gives the entryUUIDs it assigned. */
    private final Map<String, DocumentEntry> registered = new LinkedHashMap<>();
    private String replacement;

    private Suite(String[] args) throws Exception {
        arguments = new Arguments(args);
        base = arguments.get("base");
        home = arguments.get("home");
        repository = arguments.get("repository");
        codes = new Codes(arguments.get("codes"));
        federatedHome = arguments.get("federated-home", null);
        federatedRepository = arguments.get("federated-repository", null);
        federatedDocuments = arguments.number("documents", 4);
        administrator = arguments.get("administrator", "off").equals("on");
        provider = arguments.get("provider", "off").equals("on");
        // one patient for everything: an answer merged from two communities is about a single patient
        String domain = arguments.get("patient-domain", NHS_NUMBER);
        String given = arguments.get("federated-patient", arguments.get("patient", null));
        patient = given != null ? Identifiable.parse(given) : somebody(domain);
        var trust = Pem.trust(arguments.get("ca"));
        anonymous = Pem.context(null, trust);
        SSLContext tls = Pem.context(Pem.identity(arguments.get("cert"), arguments.get("key")), trust);
        client = new Client(base, tls, arguments.number("timeout", 60));
        neighbourhood = arguments.get("neighbours", null) == null ? null
                : new Neighbourhood(this, client, report, codes, tls, arguments);
    }

    /**
     * Arguments: --base --cert --key --ca --home --repository --codes, one of --patient-domain and --patient,
     * and --federated-home --federated-repository --federated-patient --documents for a second community.
     * {@code --administrator on} updates and removes too, {@code --provider on} provides and fetches as another
     * community's gateway, and by way of the broker; which it must allow.
     * {@code --only neighbours} is about the communities of {@code --neighbours FILE}, see {@link Neighbourhood}.
     * {@code --only gateway} asks a Responding Gateway alone, for the holdings of {@link RespondingGateway}.
     */
    public static void main(String[] args) throws Exception {
        // a POST repeated behind our back would hide a connection that the broker dropped
        System.setProperty("sun.net.http.retryPost", "false");
        Suite suite = new Suite(args);
        boolean good = suite.run();
        suite.client.close();
        System.exit(good ? 0 : 1);
    }

    private boolean run() {
        String only = arguments.get("only", "all");
        arguments.refuseOthers();
        report.step("tls-client-certificate-required", this::anonymousIsRefused);
        if (only.equals("gateway")) {
            gateway("", client, Samples.holdings(repository, federatedDocuments), holdingsEntries(repository));
            return report.close();
        }
        if (only.equals("neighbours")) {
            source();
            neighbourhood.run(bodies, sent);
            gateway("asynchronous-", neighbourhood.asynchronous(), bodies, sent);
            return report.close();
        }
        source();
        consumer();
        refusals();
        replacement();
        if (administrator) {
            new Administration(this, client, report).run();
        }
        gateway("", client, bodies, sent);
        Exchanges exchanges = new Exchanges(this, client, report);
        if (provider) {
            exchanges.run();
        }
        if (federatedHome != null) {
            federation();
            if (provider) {
                exchanges.federated(federatedHome);
            }
        }
        return report.close();
    }

    // ---- Document Source ------------------------------------------------------------------------------------

    private void source() {
        report.step("iti41-two-documents", () -> {
            String small = newUniqueId();
            String large = newUniqueId();
            bodies.put(small, Samples.summary(small));
            bodies.put(large, Samples.letter(large, LARGE));
            sent.put(small, Samples.entry(codes, Samples.SUMMARY, patient, small, "Discharge summary – Siân’s copy"));
            DocumentEntry letter = Samples.entry(codes, Samples.LETTER, patient, large, "Discharge letter");
            // one with hash and size, one without: the repository must add them
            letter.setHash(Samples.sha1(bodies.get(large)));
            letter.setSize((long) LARGE);
            sent.put(large, letter);
            ProvideAndRegisterDocumentSet request = submission();
            for (String id : List.of(small, large)) {
                add(request, sent.get(id), bodies.get(id));
            }
            submissionSet = request.getSubmissionSet();
            succeeded(client.submit(REPOSITORY, request));
        });
    }

    ProvideAndRegisterDocumentSet submission() {
        SubmissionSet set = new SubmissionSet();
        set.setEntryUuid("SubmissionSet01");
        set.setUniqueId(newUniqueId());
        set.setSourceId(SOURCE_ID);
        set.setPatientId(patient);
        set.setSubmissionTime("20260301120000");
        set.setContentTypeCode(codes.code("contentTypeCode"));
        set.setTitle(Samples.text("Discharge <papers> & letter"));
        set.setComments(Samples.text("sent by the interoperability suite"));
        set.getAuthors().add(Samples.author());
        ProvideAndRegisterDocumentSet request = new ProvideAndRegisterDocumentSet();
        request.setSubmissionSet(set);
        return request;
    }

    private static void add(ProvideAndRegisterDocumentSet request, DocumentEntry entry, byte[] bytes) {
        int n = request.getDocuments().size() + 1;
        entry.setEntryUuid("Document0" + n);
        request.getDocuments().add(
                new Document(entry, bytes == null ? null : Samples.handler(bytes, entry.getMimeType())));
        Association member = new Association(AssociationType.HAS_MEMBER, "Member0" + n,
                request.getSubmissionSet().getEntryUuid(), entry.getEntryUuid());
        member.setLabel(AssociationLabel.ORIGINAL);
        request.getAssociations().add(member);
    }

    String home() {
        return home;
    }

    String repository() {
        return repository;
    }

    Identifiable patient() {
        return patient;
    }

    /** A patient that nobody has heard of. */
    Identifiable nobody() {
        return somebody(patient.getAssigningAuthority().getUniversalId());
    }

    /** An entry of the suite's patient. */
    DocumentEntry sample(String uniqueId) {
        return Samples.entry(codes, Samples.SUMMARY, patient, uniqueId, "Discharge summary");
    }

    /** A submission of one new small document. */
    ProvideAndRegisterDocumentSet oneDocument(String uniqueId) {
        ProvideAndRegisterDocumentSet request = submission();
        add(request, Samples.entry(codes, Samples.SUMMARY, patient, uniqueId, "Discharge summary"),
                Samples.summary(uniqueId));
        return request;
    }

    // ---- Document Consumer ----------------------------------------------------------------------------------

    private void consumer() {
        report.step("iti18-find-documents-leafclass", () -> {
            for (DocumentEntry entry : query(ITI_18, REGISTRY, find(APPROVED)).getDocumentEntries()) {
                registered.put(entry.getUniqueId(), entry);
            }
            need(registered.keySet().containsAll(sent.keySet()), "found " + registered.keySet());
        });
        report.step("iti18-attributes-of-entry", () -> compare(sent, registered));
        report.step("iti18-attributes-added", () -> {
            for (Map.Entry<String, byte[]> body : bodies.entrySet()) {
                DocumentEntry entry = registered(body.getKey());
                same("hash", Samples.sha1(body.getValue()), entry.getHash().toLowerCase());
                same("size", (long) body.getValue().length, entry.getSize());
                same("repositoryUniqueId", repository, entry.getRepositoryUniqueId());
                same("availabilityStatus", APPROVED, entry.getAvailabilityStatus());
                need(entry.getEntryUuid().startsWith("urn:uuid:"), "entryUUID " + entry.getEntryUuid());
            }
        });
        report.step("iti18-find-documents-objectref", () -> {
            Set<String> ids = query(ITI_18, REGISTRY, find(APPROVED), QueryReturnType.OBJECT_REF).getReferences()
                    .stream().map(ObjectReference::getId).collect(Collectors.toSet());
            need(ids.containsAll(uuids()), "found " + ids.size() + " references, not those of the entries");
        });
        report.step("iti18-find-documents-by-class-and-time", () -> {
            FindDocumentsQuery find = find(APPROVED);
            find.setClassCodes(List.of(codes.code(Samples.LETTER + ".classCode")));
            find.getServiceStartTime().setFrom("20260225");
            find.getServiceStartTime().setTo("20260226");
            var found = query(ITI_18, REGISTRY, find).getDocumentEntries();
            need(found.stream().allMatch(entry -> entry.getClassCode().equals(
                    codes.code(Samples.LETTER + ".classCode"))), "found another class");
            need(ids(found).contains(last(sent)), "found " + ids(found));
        });
        report.step("iti18-find-documents-of-nobody", () -> {
            FindDocumentsQuery find = find(APPROVED);
            find.setPatientId(somebody(patient.getAssigningAuthority().getUniversalId()));
            QueryResponse answer = client.query(ITI_18, REGISTRY, leaf(find));
            // a registry that knows its patients may say so; one that does not finds nothing
            if (answer.getStatus() == Status.FAILURE) {
                failedWith(answer, ErrorCode.UNKNOWN_PATIENT_ID);
            } else {
                need(answer.getDocumentEntries().isEmpty(), "found documents of somebody else");
            }
        });
        report.step("iti18-get-documents-by-uuid", () -> {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setUuids(uuids());
            same("uniqueIds", sent.keySet(), ids(query(ITI_18, REGISTRY, get).getDocumentEntries()));
        });
        report.step("iti18-get-documents-by-unique-id", () -> {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setUniqueIds(List.copyOf(sent.keySet()));
            same("uniqueIds", sent.keySet(), ids(query(ITI_18, REGISTRY, get).getDocumentEntries()));
        });
        report.step("iti18-get-submission-set-and-contents", () -> {
            GetSubmissionSetAndContentsQuery get = new GetSubmissionSetAndContentsQuery();
            get.setUniqueId(set().getUniqueId());
            QueryResponse answer = query(ITI_18, REGISTRY, get);
            same("submission sets", 1, answer.getSubmissionSets().size());
            compare(set(), answer.getSubmissionSets().get(0));
            same("uniqueIds", sent.keySet(), ids(answer.getDocumentEntries()));
            String setUuid = answer.getSubmissionSets().get(0).getEntryUuid();
            Set<String> members = answer.getAssociations().stream()
                    .filter(a -> a.getAssociationType() == AssociationType.HAS_MEMBER
                            && a.getLabel() == AssociationLabel.ORIGINAL && setUuid.equals(a.getSourceUuid()))
                    .map(Association::getTargetUuid).collect(Collectors.toCollection(TreeSet::new));
            same("members", new TreeSet<>(uuids()), members);
        });
        report.step("iti18-get-all", () -> {
            GetAllQuery get = new GetAllQuery();
            get.setPatientId(patient);
            get.setStatusDocuments(List.of(APPROVED));
            get.setStatusSubmissionSets(List.of(APPROVED));
            get.setStatusFolders(List.of(APPROVED));
            QueryResponse answer = query(ITI_18, REGISTRY, get);
            need(ids(answer.getDocumentEntries()).containsAll(sent.keySet()), "not all entries");
            need(answer.getSubmissionSets().stream().anyMatch(s -> s.getUniqueId().equals(set().getUniqueId())),
                    "not the submission set");
            Set<String> targets = answer.getAssociations().stream().map(Association::getTargetUuid)
                    .collect(Collectors.toSet());
            need(targets.containsAll(uuids()), "not all associations");
        });
        report.step("iti18-find-submission-sets", () -> {
            FindSubmissionSetsQuery find = new FindSubmissionSetsQuery();
            find.setPatientId(patient);
            find.setStatus(List.of(APPROVED));
            find.setSourceIds(List.of(SOURCE_ID));
            find.getSubmissionTime().setFrom("20260301");
            QueryResponse answer = query(ITI_18, REGISTRY, find);
            need(answer.getSubmissionSets().stream().anyMatch(s -> s.getUniqueId().equals(set().getUniqueId())),
                    "not the submission set");
        });
        report.step("iti18-status-missing", () -> {
            FindDocumentsQuery find = new FindDocumentsQuery();
            find.setPatientId(patient);
            failedWith(client.queryUnjudged(ITI_18, REGISTRY, leaf(find)), ErrorCode.STORED_QUERY_MISSING_PARAM);
        });
        report.step("iti43-retrieve", () -> {
            retrieved(client.retrieve(ITI_43, REPOSITORY, wanted(repository, null, bodies.keySet())), bodies, null);
            String type = client.contentType().toLowerCase();
            need(type.startsWith("multipart/related") && type.contains("application/xop+xml"),
                    "not MTOM but " + type);
        });
        report.step("iti43-unknown-document", () -> failedWith(
                client.retrieve(ITI_43, REPOSITORY, wanted(repository, null, Set.of(newUniqueId()))),
                ErrorCode.DOCUMENT_UNIQUE_ID_ERROR));
        report.step("iti43-unknown-repository", () -> failedWith(
                client.retrieve(ITI_43, REPOSITORY, wanted("2.999.826.9.404", null, bodies.keySet())),
                ErrorCode.UNKNOWN_REPOSITORY_ID));
        report.step("iti43-partial-success", () -> {
            RetrieveDocumentSet request = wanted(repository, null, Set.of(first(bodies), newUniqueId()));
            RetrievedDocumentSet answer = client.retrieve(ITI_43, REPOSITORY, request);
            same("status", Status.PARTIAL_SUCCESS, answer.getStatus());
            hasError(answer, ErrorCode.DOCUMENT_UNIQUE_ID_ERROR);
            bytes(answer, Map.of(first(bodies), bodies.get(first(bodies))), null);
        });
    }

    // ---- what must be refused ---------------------------------------------------------------------------------

    private void refusals() {
        report.step("iti41-refuses-unlisted-code", () -> {
            ProvideAndRegisterDocumentSet request = oneDocument(newUniqueId());
            entry(request).setClassCode(codes.code("unlisted.classCode"));
            refused(request, ErrorCode.REGISTRY_METADATA_ERROR, ErrorCode.REPOSITORY_METADATA_ERROR);
        });
        report.step("iti41-refuses-missing-class-code", () -> {
            ProvideAndRegisterDocumentSet request = oneDocument(newUniqueId());
            entry(request).setClassCode(null);
            refused(request, ErrorCode.REGISTRY_METADATA_ERROR, ErrorCode.REPOSITORY_METADATA_ERROR);
        });
        report.step("iti41-refuses-wrong-hash", () -> {
            ProvideAndRegisterDocumentSet request = oneDocument(newUniqueId());
            entry(request).setHash(Samples.sha1(new byte[] {1}));
            refused(request, ErrorCode.REPOSITORY_METADATA_ERROR);
        });
        report.step("iti41-refuses-missing-document", () -> {
            ProvideAndRegisterDocumentSet request = submission();
            add(request, Samples.entry(codes, Samples.SUMMARY, patient, newUniqueId(), "Without bytes"), null);
            refused(request, ErrorCode.MISSING_DOCUMENT);
        });
        report.step("iti41-refuses-used-submission-set-id", () -> {
            ProvideAndRegisterDocumentSet request = oneDocument(newUniqueId());
            request.getSubmissionSet().setUniqueId(set().getUniqueId());
            refused(request, ErrorCode.DUPLICATE_UNIQUE_ID_IN_REGISTRY);
        });
        report.step("iti41-refuses-other-bytes-under-used-id", () -> {
            need(!bodies.isEmpty(), "nothing was submitted");
            ProvideAndRegisterDocumentSet request = submission();
            String used = first(bodies);
            byte[] other = Arrays.copyOf(bodies.get(used), bodies.get(used).length + 1);
            add(request, Samples.entry(codes, Samples.SUMMARY, patient, used, "Not the same"), other);
            refused(request, ErrorCode.NON_IDENTICAL_HASH, ErrorCode.NON_IDENTICAL_SIZE);
        });
    }

    /** A Failure with one of these codes, and nothing of the submission to be found afterwards. */
    private void refused(ProvideAndRegisterDocumentSet request, ErrorCode... expected) throws Exception {
        failedWith(client.submitUnjudged(REPOSITORY, request), expected);
        String uniqueId = entry(request).getUniqueId();
        if (!bodies.containsKey(uniqueId)) {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setUniqueIds(List.of(uniqueId));
            need(query(ITI_18, REGISTRY, get).getDocumentEntries().isEmpty(), "refused, yet registered");
            failedWith(client.retrieve(ITI_43, REPOSITORY, wanted(repository, null, Set.of(uniqueId))),
                    ErrorCode.DOCUMENT_UNIQUE_ID_ERROR);
        }
    }

    private static DocumentEntry entry(ProvideAndRegisterDocumentSet request) {
        return request.getDocuments().get(0).getDocumentEntry();
    }

    // ---- replacement ------------------------------------------------------------------------------------------

    private void replacement() {
        report.step("iti41-replace", () -> {
            String uniqueId = newUniqueId();
            succeeded(client.submit(REPOSITORY, replacing(uniqueId)));
            replacement = uniqueId;
            bodies.put(uniqueId, Samples.summary(uniqueId));
        });
        report.step("iti18-approved-after-replace", () -> {
            Set<String> approved = ids(query(ITI_18, REGISTRY, find(APPROVED)).getDocumentEntries());
            need(replacement != null && approved.contains(replacement), "the new document is not among the approved");
            need(!approved.contains(first(bodies)), "the replaced document is still among the approved");
        });
        report.step("iti18-deprecated-after-replace", () -> {
            Set<String> deprecated = ids(query(ITI_18, REGISTRY, find(DEPRECATED)).getDocumentEntries());
            need(deprecated.contains(first(bodies)), "the replaced document is not among the deprecated");
            need(!deprecated.contains(replacement), "the new document is among the deprecated");
            Set<String> both = ids(query(ITI_18, REGISTRY, find(APPROVED, DEPRECATED)).getDocumentEntries());
            need(both.containsAll(bodies.keySet()), "not all with both statuses asked for");
        });
        report.step("iti18-replace-association", () -> {
            GetAllQuery get = new GetAllQuery();
            get.setPatientId(patient);
            get.setStatusDocuments(List.of(APPROVED, DEPRECATED));
            get.setStatusSubmissionSets(List.of(APPROVED));
            get.setStatusFolders(List.of(APPROVED));
            QueryResponse answer = query(ITI_18, REGISTRY, get);
            String replacing = answer.getDocumentEntries().stream()
                    .filter(entry -> entry.getUniqueId().equals(replacement))
                    .map(DocumentEntry::getEntryUuid).findFirst().orElseThrow(() -> new Failed("not the new document"));
            String replaced = registered(first(bodies)).getEntryUuid();
            need(answer.getAssociations().stream().anyMatch(
                    a -> a.getAssociationType() == AssociationType.REPLACE && replacing.equals(a.getSourceUuid())
                            && replaced.equals(a.getTargetUuid())), "no RPLC from the new to the replaced document");
        });
        report.step("iti41-refuses-to-replace-the-replaced", () ->
                refused(replacing(newUniqueId()), ErrorCode.REGISTRY_DEPRECATED_DOCUMENT_ERROR));
        report.step("iti43-replaced-is-still-retrievable", () -> {
            Map<String, byte[]> replaced = Map.of(first(bodies), bodies.get(first(bodies)));
            retrieved(client.retrieve(ITI_43, REPOSITORY, wanted(repository, null, replaced.keySet())), replaced, null);
        });
    }

    private ProvideAndRegisterDocumentSet replacing(String uniqueId) throws Failed {
        need(!sent.isEmpty(), "nothing was submitted");
        ProvideAndRegisterDocumentSet request = oneDocument(uniqueId);
        request.getAssociations().add(new Association(AssociationType.REPLACE, "Replace01",
                entry(request).getEntryUuid(), registered(first(sent)).getEntryUuid()));
        return request;
    }

    // ---- Initiating Gateway -----------------------------------------------------------------------------------

    /** The suite as a neighbour's Initiating Gateway, asking for documents that it knows the community to hold. */
    private void gateway(String prefix, Client client, Map<String, byte[]> holdings,
            Map<String, DocumentEntry> metadata) {
        Map<String, DocumentEntry> found = new LinkedHashMap<>();
        report.step(prefix + "iti38-find-documents-leafclass", () -> {
            QueryResponse answer = query(client, ITI_38, RESPONDING, find(APPROVED, DEPRECATED),
                    QueryReturnType.LEAF_CLASS);
            for (DocumentEntry entry : answer.getDocumentEntries()) {
                same("homeCommunityId of an entry", home, entry.getHomeCommunityId());
                found.put(entry.getUniqueId(), entry);
            }
            need(!holdings.isEmpty() && found.keySet().containsAll(holdings.keySet()), "found " + found.keySet());
            for (Map.Entry<String, byte[]> held : holdings.entrySet()) {
                same("hash", Samples.sha1(held.getValue()), found.get(held.getKey()).getHash().toLowerCase());
                same("size", (long) held.getValue().length, found.get(held.getKey()).getSize());
            }
        });
        report.step(prefix + "iti38-attributes-of-entry", () -> compare(metadata, found));
        report.step(prefix + "iti38-find-documents-objectref", () -> {
            var references = query(client, ITI_38, RESPONDING, find(APPROVED, DEPRECATED),
                    QueryReturnType.OBJECT_REF).getReferences();
            need(references.size() >= holdings.size() && !references.isEmpty(), references.size() + " references");
            for (ObjectReference reference : references) {
                same("home of a reference", home, reference.getHome());
            }
        });
        report.step(prefix + "iti38-get-documents", () -> {
            need(!found.isEmpty(), "nothing was found to get");
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setHomeCommunityId(home);
            get.setUuids(found.values().stream().map(DocumentEntry::getEntryUuid).toList());
            QueryResponse answer = query(client, ITI_38, RESPONDING, get, QueryReturnType.LEAF_CLASS);
            same("uniqueIds", new TreeSet<>(found.keySet()), ids(answer.getDocumentEntries()));
            for (DocumentEntry entry : answer.getDocumentEntries()) {
                same("homeCommunityId of an entry", home, entry.getHomeCommunityId());
            }
        });
        report.step(prefix + "iti38-unknown-community", () -> {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setHomeCommunityId(NOWHERE);
            get.setUniqueIds(List.copyOf(holdings.keySet()));
            failedWith(client.query(ITI_38, RESPONDING, leaf(get)), ErrorCode.UNKNOWN_COMMUNITY);
        });
        report.step(prefix + "iti39-retrieve", () -> retrieved(
                client.retrieve(ITI_39, RESPONDING, wanted(repository, home, holdings.keySet())), holdings, home));
        report.step(prefix + "iti39-unknown-document", () -> failedWith(
                client.retrieve(ITI_39, RESPONDING, wanted(repository, home, Set.of(newUniqueId()))),
                ErrorCode.DOCUMENT_UNIQUE_ID_ERROR));
        report.step(prefix + "iti39-unknown-community", () -> failedWith(
                client.retrieve(ITI_39, RESPONDING, wanted(repository, NOWHERE, holdings.keySet())),
                ErrorCode.UNKNOWN_COMMUNITY));
    }

    // ---- consumer of the federation ---------------------------------------------------------------------------

    /** The suite as a hospital that asks its own gateway once and gets what both communities hold. */
    private void federation() {
        Map<String, byte[]> theirs = Samples.holdings(federatedRepository, federatedDocuments);
        Map<String, DocumentEntry> found = new LinkedHashMap<>();
        report.step("federated-iti18-find-documents-leafclass", () -> {
            for (DocumentEntry entry : query(ITI_18, INITIATING, find(APPROVED, DEPRECATED)).getDocumentEntries()) {
                found.put(entry.getUniqueId(), entry);
            }
            need(found.keySet().containsAll(bodies.keySet()), "not all of the local documents: " + found.keySet());
            need(found.keySet().containsAll(theirs.keySet()), "not all of the neighbour's: " + found.keySet());
            for (String id : bodies.keySet()) {
                same("homeCommunityId of a local entry", home, found.get(id).getHomeCommunityId());
            }
            for (String id : theirs.keySet()) {
                same("homeCommunityId of a neighbour's entry", federatedHome, found.get(id).getHomeCommunityId());
                same("repositoryUniqueId", federatedRepository, found.get(id).getRepositoryUniqueId());
            }
        });
        report.step("federated-attributes-of-entry", () -> {
            compare(sent, found);
            compare(holdingsEntries(federatedRepository), found);
        });
        report.step("federated-iti18-find-documents-objectref", () -> {
            Set<String> homes = query(ITI_18, INITIATING, find(APPROVED, DEPRECATED), QueryReturnType.OBJECT_REF)
                    .getReferences().stream().map(ObjectReference::getHome)
                    .map(String::valueOf).collect(Collectors.toCollection(TreeSet::new));
            same("homes of the references", new TreeSet<>(Set.of(home, federatedHome)), homes);
        });
        report.step("federated-iti18-get-documents", () -> {
            for (var side : Map.of(home, bodies, federatedHome, theirs).entrySet()) {
                GetDocumentsQuery get = new GetDocumentsQuery();
                get.setHomeCommunityId(side.getKey());
                get.setUniqueIds(List.copyOf(side.getValue().keySet()));
                same("uniqueIds", new TreeSet<>(side.getValue().keySet()),
                        ids(query(ITI_18, INITIATING, get).getDocumentEntries()));
            }
        });
        report.step("federated-iti18-home-missing", () -> {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setUniqueIds(List.copyOf(theirs.keySet()));
            failedWith(client.query(ITI_18, INITIATING, leaf(get)), ErrorCode.MISSING_HOME_COMMUNITY_ID);
        });
        report.step("federated-iti18-unknown-community", () -> {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setHomeCommunityId(NOWHERE);
            get.setUniqueIds(List.copyOf(theirs.keySet()));
            failedWith(client.query(ITI_18, INITIATING, leaf(get)), ErrorCode.UNKNOWN_COMMUNITY);
        });
        report.step("federated-iti43-retrieve-local", () -> retrieved(
                client.retrieve(ITI_43, INITIATING, wanted(repository, home, bodies.keySet())), bodies, home));
        report.step("federated-iti43-retrieve-neighbour", () -> retrieved(
                client.retrieve(ITI_43, INITIATING, wanted(federatedRepository, federatedHome, theirs.keySet())),
                theirs, federatedHome));
        report.step("federated-iti43-retrieve-both-at-once", () -> {
            RetrieveDocumentSet request = wanted(repository, home, bodies.keySet());
            request.getDocuments().addAll(
                    wanted(federatedRepository, federatedHome, theirs.keySet()).getDocuments());
            Map<String, byte[]> both = new LinkedHashMap<>(bodies);
            both.putAll(theirs);
            RetrievedDocumentSet answer = client.retrieve(ITI_43, INITIATING, request);
            succeeded(answer);
            bytes(answer, both, null);
        });
        report.step("federated-iti43-unknown-document", () -> {
            RetrievedDocumentSet answer = client.retrieve(ITI_43, INITIATING,
                    wanted(federatedRepository, federatedHome, Set.of(first(theirs), newUniqueId())));
            same("status", Status.PARTIAL_SUCCESS, answer.getStatus());
            hasError(answer, ErrorCode.DOCUMENT_UNIQUE_ID_ERROR);
            bytes(answer, Map.of(first(theirs), theirs.get(first(theirs))), federatedHome);
        });
    }

    // ---- TLS --------------------------------------------------------------------------------------------------

    /** With TLS 1.3 a client learns only after its own handshake that it is refused, so this one writes and reads. */
    private void anonymousIsRefused() throws Exception {
        URI uri = URI.create(base);
        int answered;
        try (SSLSocket socket = (SSLSocket) anonymous.getSocketFactory().createSocket(uri.getHost(), uri.getPort())) {
            socket.setSoTimeout(10_000);
            OutputStream out = socket.getOutputStream();
            out.write(("GET " + uri.getPath() + "/registry?wsdl HTTP/1.1\r\nHost: " + uri.getAuthority()
                    + "\r\nConnection: close\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            out.flush();
            InputStream in = socket.getInputStream();
            answered = in.read();
        } catch (java.net.ConnectException nobody) {
            throw nobody;
        } catch (java.net.SocketTimeoutException silence) {
            throw new Failed("the connection was left open without an answer", silence);
        } catch (IOException refused) {
            // our own refusal of the server's certificate proves nothing
            if (refused.getCause() instanceof CertificateException) {
                throw refused;
            }
            return;
        }
        need(answered == -1, "a client without a certificate got an HTTP answer");
    }

    // ---- requests ---------------------------------------------------------------------------------------------

    FindDocumentsQuery find(AvailabilityStatus... status) {
        FindDocumentsQuery find = new FindDocumentsQuery();
        find.setPatientId(patient);
        find.setStatus(List.of(status));
        return find;
    }

    static QueryRegistry leaf(Query query) {
        QueryRegistry request = new QueryRegistry(query);
        request.setReturnType(QueryReturnType.LEAF_CLASS);
        return request;
    }

    QueryResponse query(Client.Transaction transaction, String path, Query query) throws Exception {
        return query(transaction, path, query, QueryReturnType.LEAF_CLASS);
    }

    private QueryResponse query(Client.Transaction transaction, String path, Query query, QueryReturnType type)
            throws Exception {
        return query(client, transaction, path, query, type);
    }

    static QueryResponse query(Client client, Client.Transaction transaction, String path, Query query,
            QueryReturnType type) throws Exception {
        QueryRegistry request = new QueryRegistry(query);
        request.setReturnType(type);
        QueryResponse answer = client.query(transaction, path, request);
        succeeded(answer);
        return answer;
    }

    static RetrieveDocumentSet wanted(String repository, String home, Set<String> uniqueIds) {
        RetrieveDocumentSet request = new RetrieveDocumentSet();
        for (String id : uniqueIds) {
            request.getDocuments().add(new DocumentReference(repository, id, home));
        }
        return request;
    }

    // ---- judgements -------------------------------------------------------------------------------------------

    static void need(boolean holds, String otherwise) throws Failed {
        if (!holds) {
            throw new Failed(otherwise);
        }
    }

    static void same(String what, Object expected, Object actual) throws Failed {
        need(Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
    }

    static void succeeded(Response answer) throws Failed {
        need(answer.getStatus() == Status.SUCCESS, answer.getStatus() + " " + codes(answer) + contexts(answer));
        need(answer.getErrors().isEmpty(), "Success, yet with errors " + codes(answer));
    }

    static void failedWith(Response answer, ErrorCode... expected) throws Failed {
        need(answer.getStatus() == Status.FAILURE, "expected Failure, got " + answer.getStatus());
        hasError(answer, expected);
    }

    static void hasError(Response answer, ErrorCode... expected) throws Failed {
        need(answer.getErrors().stream().anyMatch(error -> List.of(expected).contains(error.getErrorCode())),
                "expected " + Arrays.stream(expected).map(code -> code.getOpcode()).toList() + ", got " + codes(answer));
    }

    static List<String> codes(Response answer) {
        return answer.getErrors().stream().map(error -> error.getErrorCode() == ErrorCode._USER_DEFINED
                ? error.getCustomErrorCode() : error.getErrorCode().getOpcode()).toList();
    }

    private static List<String> contexts(Response answer) {
        return answer.getErrors().stream().map(ErrorInfo::getCodeContext).map(String::valueOf).toList();
    }

    /** A whole Success with exactly these documents. */
    static void retrieved(RetrievedDocumentSet answer, Map<String, byte[]> expected, String home)
            throws Exception {
        need(!expected.isEmpty(), "there is nothing to retrieve");
        succeeded(answer);
        bytes(answer, expected, home);
    }

    static void bytes(RetrievedDocumentSet answer, Map<String, byte[]> expected, String home)
            throws Exception {
        Set<String> got = new TreeSet<>();
        for (RetrievedDocument document : answer.getDocuments()) {
            String id = document.getRequestData().getDocumentUniqueId();
            need(expected.containsKey(id) && got.add(id), "not asked for, or twice: " + id);
            byte[] bytes;
            try (InputStream in = document.getDataHandler().getInputStream()) {
                bytes = in.readAllBytes();
            }
            need(Arrays.equals(expected.get(id), bytes),
                    id + ": " + bytes.length + " bytes, not the " + expected.get(id).length + " that were stored");
            if (home != null) {
                same("homeCommunityId of a document", home, document.getRequestData().getHomeCommunityId());
            }
        }
        same("documents", new TreeSet<>(expected.keySet()), got);
    }

    static void compare(Map<String, DocumentEntry> expected, Map<String, DocumentEntry> actual) throws Failed {
        need(!expected.isEmpty(), "there is nothing to compare");
        for (Map.Entry<String, DocumentEntry> entry : expected.entrySet()) {
            need(actual.containsKey(entry.getKey()), "not found: " + entry.getKey());
            compare(entry.getValue(), actual.get(entry.getKey()));
        }
    }

    /** Every attribute that a source sends must come back as it was sent. */
    static void compare(DocumentEntry expected, DocumentEntry actual) throws Failed {
        Map<String, Function<DocumentEntry, Object>> attributes = new LinkedHashMap<>();
        attributes.put("author", DocumentEntry::getAuthors);
        attributes.put("classCode", DocumentEntry::getClassCode);
        attributes.put("comments", DocumentEntry::getComments);
        attributes.put("confidentialityCode", DocumentEntry::getConfidentialityCodes);
        attributes.put("creationTime", DocumentEntry::getCreationTime);
        attributes.put("eventCodeList", DocumentEntry::getEventCodeList);
        attributes.put("formatCode", DocumentEntry::getFormatCode);
        attributes.put("healthcareFacilityTypeCode", DocumentEntry::getHealthcareFacilityTypeCode);
        attributes.put("languageCode", DocumentEntry::getLanguageCode);
        attributes.put("legalAuthenticator", DocumentEntry::getLegalAuthenticator);
        attributes.put("mimeType", DocumentEntry::getMimeType);
        attributes.put("objectType", DocumentEntry::getType);
        attributes.put("patientId", DocumentEntry::getPatientId);
        attributes.put("practiceSettingCode", DocumentEntry::getPracticeSettingCode);
        attributes.put("referenceIdList", DocumentEntry::getReferenceIdList);
        attributes.put("serviceStartTime", DocumentEntry::getServiceStartTime);
        attributes.put("serviceStopTime", DocumentEntry::getServiceStopTime);
        attributes.put("sourcePatientId", DocumentEntry::getSourcePatientId);
        attributes.put("sourcePatientInfo", entry -> fields(entry.getSourcePatientInfo()));
        attributes.put("title", DocumentEntry::getTitle);
        attributes.put("typeCode", DocumentEntry::getTypeCode);
        attributes.put("uniqueId", DocumentEntry::getUniqueId);
        attributes.put("URI", DocumentEntry::getUri);
        compare(attributes, expected, actual);
    }

    private static void compare(SubmissionSet expected, SubmissionSet actual) throws Failed {
        Map<String, Function<SubmissionSet, Object>> attributes = new LinkedHashMap<>();
        attributes.put("author", SubmissionSet::getAuthors);
        attributes.put("comments", SubmissionSet::getComments);
        attributes.put("contentTypeCode", SubmissionSet::getContentTypeCode);
        attributes.put("patientId", SubmissionSet::getPatientId);
        attributes.put("sourceId", SubmissionSet::getSourceId);
        attributes.put("submissionTime", SubmissionSet::getSubmissionTime);
        attributes.put("title", SubmissionSet::getTitle);
        attributes.put("uniqueId", SubmissionSet::getUniqueId);
        compare(attributes, expected, actual);
    }

    private static <T> void compare(Map<String, Function<T, Object>> attributes, T expected, T actual) throws Failed {
        List<String> differences = new ArrayList<>();
        attributes.forEach((name, attribute) -> {
            Object sent = attribute.apply(expected);
            Object back = attribute.apply(actual);
            if (!Objects.equals(sent, back)) {
                differences.add(name + ": sent " + sent + ", got " + back);
            }
        });
        need(differences.isEmpty(), String.join("; ", differences));
    }

    /** The HL7 fields as text: how IPF keeps them beside each other depends on the order they were set in. */
    private static Map<String, List<String>> fields(PatientInfo info) {
        Map<String, List<String>> fields = new LinkedHashMap<>();
        if (info != null) {
            for (String id : new TreeSet<>(info.getAllFieldIds())) {
                List<String> values = new ArrayList<>();
                info.getHl7FieldIterator(id).forEachRemaining(values::add);
                fields.put(id, values);
            }
        }
        return fields;
    }

    // ---- small things -----------------------------------------------------------------------------------------

    /** Metadata of what {@link RespondingGateway} holds. */
    private Map<String, DocumentEntry> holdingsEntries(String repository) {
        return Samples.holdingsEntries(codes, patient, Samples.holdings(repository, federatedDocuments).keySet());
    }

    private DocumentEntry registered(String uniqueId) throws Failed {
        DocumentEntry entry = registered.get(uniqueId);
        need(entry != null, uniqueId + " was not found in the registry");
        return entry;
    }

    private SubmissionSet set() {
        return Objects.requireNonNull(submissionSet, "nothing was submitted");
    }

    private List<String> uuids() throws Failed {
        need(!sent.isEmpty(), "nothing was submitted");
        List<String> uuids = new ArrayList<>();
        for (String id : sent.keySet()) {
            uuids.add(registered(id).getEntryUuid());
        }
        return uuids;
    }

    static Set<String> ids(List<DocumentEntry> entries) {
        return entries.stream().map(DocumentEntry::getUniqueId).collect(Collectors.toCollection(TreeSet::new));
    }

    private static String first(Map<String, ?> map) throws Failed {
        need(!map.isEmpty(), "nothing was submitted");
        return map.keySet().iterator().next();
    }

    private static String last(Map<String, ?> map) throws Failed {
        need(!map.isEmpty(), "nothing was submitted");
        return List.copyOf(map.keySet()).get(map.size() - 1);
    }

    static String newUniqueId() {
        // the low half of a random UUID as one arc: unique over runs against the same broker, and short
        return UNIQUE_IDS + Long.toUnsignedString(UUID.randomUUID().getLeastSignificantBits());
    }

    /** A patient nobody has heard of; in the NHS number's domain one of the range reserved for tests. */
    private static Identifiable somebody(String domain) {
        AssigningAuthority authority = new AssigningAuthority(domain, "ISO");
        if (!domain.equals(NHS_NUMBER)) {
            return new Identifiable("IPF-" + UUID.randomUUID(), authority);
        }
        Random random = new Random();
        while (true) {
            String digits = "999" + String.format("%06d", random.nextInt(1_000_000));
            int sum = 0;
            for (int i = 0; i < 9; i++) {
                sum += (10 - i) * (digits.charAt(i) - '0');
            }
            int check = (11 - sum % 11) % 11;
            if (check != 10) {
                return new Identifiable(digits + check, authority);
            }
        }
    }
}
