package causeway.interop;

import static causeway.interop.Client.Transaction.ITI_18;
import static causeway.interop.Client.Transaction.ITI_43;
import static causeway.interop.Client.Transaction.ITI_51;
import static causeway.interop.Client.Transaction.ITI_57;
import static causeway.interop.Client.Transaction.ITI_61;
import static causeway.interop.Client.Transaction.ITI_62;
import static causeway.interop.Client.Transaction.ITI_86;
import static causeway.interop.Client.Transaction.ITI_92;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.APPROVED;
import static org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus.DEPRECATED;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Association;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssociationLabel;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssociationType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntryType;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ObjectReference;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.SubmissionSet;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Version;
import org.openehealth.ipf.commons.ihe.xds.core.requests.DocumentReference;
import org.openehealth.ipf.commons.ihe.xds.core.requests.ProvideAndRegisterDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RegisterDocumentSet;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RemoveDocuments;
import org.openehealth.ipf.commons.ihe.xds.core.requests.RemoveMetadata;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsForMultiplePatientsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.FindDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetDocumentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.requests.query.GetSubmissionSetAndContentsQuery;
import org.openehealth.ipf.commons.ihe.xds.core.responses.ErrorCode;
import org.openehealth.ipf.commons.ihe.xds.core.responses.QueryResponse;
import org.openehealth.ipf.commons.ihe.xds.core.responses.Response;

/** IPF as Document Administrator, Update Initiator, On-Demand Document Source and consumer of many patients. */
final class Administration {
    private final Suite suite;
    private final Client client;
    private final Report report;
    private final String uniqueId = Suite.newUniqueId();
    private String submissionSet;

    Administration(Suite suite, Client client, Report report) {
        this.suite = suite;
        this.client = client;
        this.report = report;
    }

    void run() {
        report.step("administration-iti41-a-document", () -> {
            ProvideAndRegisterDocumentSet request = suite.oneDocument(uniqueId);
            submissionSet = request.getSubmissionSet().getUniqueId();
            Suite.succeeded(client.submit(Suite.REPOSITORY, request));
        });
        updates();
        onDemand();
        manyPatients();
        removal();
    }

    // ---- ITI-57, ITI-92 -----------------------------------------------------------------------------------------

    private void updates() {
        report.step("iti57-new-version", () -> {
            Suite.succeeded(client.change(ITI_57, Suite.REGISTRY, version(current(), "1", "Corrected", null)));
            DocumentEntry now = current();
            Suite.same("title", "Corrected", now.getTitle().getValue());
            Suite.same("version", "2", now.getVersion().getVersionName());
            Suite.need(!now.getLogicalUuid().equals(now.getEntryUuid()), "the new version has no logicalID of its own");
        });
        report.step("iti18-all-versions", () -> {
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setLogicalUuid(List.of(current().getLogicalUuid()));
            get.setMetadataLevel(2);
            List<DocumentEntry> versions = suite.query(ITI_18, Suite.REGISTRY, get).getDocumentEntries();
            Suite.same("versions", List.of("1", "2"),
                    versions.stream().map(entry -> entry.getVersion().getVersionName()).sorted().toList());
            Suite.same("statuses", Set.of(APPROVED, DEPRECATED),
                    Set.copyOf(versions.stream().map(DocumentEntry::getAvailabilityStatus).toList()));
        });
        report.step("iti57-refuses-a-former-version", () -> Suite.failedWith(
                client.change(ITI_57, Suite.REGISTRY, version(current(), "1", "Late", null)),
                ErrorCode.METADATA_VERSION_ERROR));
        report.step("iti57-status", () -> {
            Suite.succeeded(client.change(ITI_57, Suite.REGISTRY, status(current(), APPROVED, DEPRECATED)));
            Suite.same("status", DEPRECATED, current().getAvailabilityStatus());
            Suite.succeeded(client.change(ITI_57, Suite.REGISTRY, status(current(), DEPRECATED, APPROVED)));
            Suite.same("status", APPROVED, current().getAvailabilityStatus());
        });
        report.step("iti57-refuses-a-wrong-status", () -> Suite.failedWith(
                client.change(ITI_57, Suite.REGISTRY, status(current(), DEPRECATED, APPROVED)),
                ErrorCode.METADATA_UPDATE_ERROR));
        for (String service : List.of(Suite.REGISTRY, Suite.RESPONDING)) {
            report.step("iti92-new-version-at" + service.replace('/', '-'), () -> {
                DocumentEntry before = current();
                String title = "Restricted at " + service;
                Suite.succeeded(client.change(ITI_92, service,
                        version(before, before.getVersion().getVersionName(), title, suite.home())));
                Suite.same("title", title, current().getTitle().getValue());
            });
        }
        report.step("iti92-refuses-another-source-patient", () -> {
            DocumentEntry before = current();
            RegisterDocumentSet request =
                    version(before, before.getVersion().getVersionName(), "Other", suite.home());
            request.getDocumentEntries().get(0).getSourcePatientId().setId("somebody-else");
            Suite.failedWith(client.change(ITI_92, Suite.REGISTRY, request), ErrorCode.UNMODIFIABLE_METADATA_ERROR);
        });
    }

    private DocumentEntry current() throws Exception {
        GetDocumentsQuery get = new GetDocumentsQuery();
        get.setUniqueIds(List.of(uniqueId));
        List<DocumentEntry> found = suite.query(ITI_18, Suite.REGISTRY, get).getDocumentEntries();
        Suite.same("latest versions", 1, found.size());
        return found.get(0);
    }

    /** The entry as a new version, with a new title. */
    private RegisterDocumentSet version(DocumentEntry entry, String previous, String title, String home) {
        RegisterDocumentSet request = request(home);
        entry.setLogicalUuid(entry.getLogicalUuid());
        entry.setEntryUuid("urn:uuid:" + java.util.UUID.randomUUID());
        entry.setVersion((Version) null);
        entry.setTitle(Samples.text(title));
        entry.setHomeCommunityId(null);
        request.getDocumentEntries().add(entry);
        Association member = new Association(AssociationType.HAS_MEMBER, "Member01",
                request.getSubmissionSet().getEntryUuid(), entry.getEntryUuid());
        member.setLabel(AssociationLabel.ORIGINAL);
        member.setPreviousVersion(previous);
        request.getAssociations().add(member);
        return request;
    }

    private RegisterDocumentSet status(DocumentEntry entry, AvailabilityStatus from, AvailabilityStatus to) {
        RegisterDocumentSet request = request(null);
        Association change = new Association(AssociationType.UPDATE_AVAILABILITY_STATUS, "Change01",
                request.getSubmissionSet().getEntryUuid(), entry.getEntryUuid());
        change.setOriginalStatus(from);
        change.setNewStatus(to);
        request.getAssociations().add(change);
        return request;
    }

    private RegisterDocumentSet request(String home) {
        RegisterDocumentSet request = new RegisterDocumentSet();
        SubmissionSet set = suite.submission().getSubmissionSet();
        set.setHomeCommunityId(home);
        request.setSubmissionSet(set);
        return request;
    }

    // ---- ITI-61 -------------------------------------------------------------------------------------------------

    private void onDemand() {
        String id = Suite.newUniqueId();
        report.step("iti61-on-demand-entry", () -> {
            RegisterDocumentSet request = request(null);
            DocumentEntry entry = suite.sample(id);
            entry.setEntryUuid("Document01");
            entry.setType(DocumentEntryType.ON_DEMAND);
            entry.setCreationTime((String) null);
            entry.setLegalAuthenticator(null);
            entry.setRepositoryUniqueId("2.999.826.9.80");
            request.getDocumentEntries().add(entry);
            Association member = new Association(AssociationType.HAS_MEMBER, "Member01",
                    request.getSubmissionSet().getEntryUuid(), entry.getEntryUuid());
            member.setLabel(AssociationLabel.ORIGINAL);
            request.getAssociations().add(member);
            Suite.succeeded(client.change(ITI_61, Suite.REGISTRY, request));
        });
        report.step("iti18-on-demand-where-asked-for", () -> {
            FindDocumentsQuery find = suite.find(APPROVED);
            Suite.need(!Suite.ids(suite.query(ITI_18, Suite.REGISTRY, find).getDocumentEntries()).contains(id),
                    "found without being asked for");
            find.setDocumentEntryTypes(List.of(DocumentEntryType.ON_DEMAND));
            Suite.same("on-demand entries", Set.of(id),
                    Suite.ids(suite.query(ITI_18, Suite.REGISTRY, find).getDocumentEntries()));
        });
    }

    // ---- ITI-51 -------------------------------------------------------------------------------------------------

    private void manyPatients() {
        report.step("iti51-find-documents", () -> {
            DocumentEntry entry = current();
            FindDocumentsForMultiplePatientsQuery find = new FindDocumentsForMultiplePatientsQuery();
            find.setPatientIds(List.of(entry.getPatientId(), suite.nobody()));
            find.setStatus(List.of(APPROVED));
            find.setClassCodes(List.of(entry.getClassCode()));
            QueryResponse answer = client.query(ITI_51, Suite.REGISTRY, Suite.leaf(find));
            Suite.succeeded(answer);
            Suite.need(Suite.ids(answer.getDocumentEntries()).contains(uniqueId), "did not find " + uniqueId);
        });
    }

    // ---- ITI-86, ITI-62 -----------------------------------------------------------------------------------------

    private void removal() {
        String id = Suite.newUniqueId();
        List<ObjectReference> references = new ArrayList<>();
        report.step("iti62-refuses-a-part", () -> {
            ProvideAndRegisterDocumentSet request = suite.oneDocument(id);
            Suite.succeeded(client.submit(Suite.REPOSITORY, request));
            GetSubmissionSetAndContentsQuery get = new GetSubmissionSetAndContentsQuery();
            get.setUniqueId(request.getSubmissionSet().getUniqueId());
            QueryResponse contents = suite.query(ITI_18, Suite.REGISTRY, get);
            references.add(new ObjectReference(contents.getSubmissionSets().get(0).getEntryUuid()));
            references.add(new ObjectReference(contents.getDocumentEntries().get(0).getEntryUuid()));
            references.add(new ObjectReference(contents.getAssociations().get(0).getEntryUuid()));
            Suite.failedWith(client.change(ITI_62, Suite.REGISTRY, removing(references.subList(0, 1))),
                    ErrorCode.REFERENCE_EXISTS_EXCEPTION);
        });
        report.step("iti86-document", () -> {
            RemoveDocuments request = new RemoveDocuments();
            request.getDocuments().add(new DocumentReference(suite.repository(), id, null));
            Suite.succeeded(client.change(ITI_86, Suite.REPOSITORY, request));
            Response again = client.change(ITI_86, Suite.REPOSITORY, request);
            Suite.failedWith(again, ErrorCode.DOCUMENT_UNIQUE_ID_ERROR);
            Suite.failedWith(client.retrieve(ITI_43, Suite.REPOSITORY,
                    Suite.wanted(suite.repository(), null, Set.of(id))), ErrorCode.DOCUMENT_UNIQUE_ID_ERROR);
        });
        report.step("iti62-metadata", () -> {
            Suite.succeeded(client.change(ITI_62, Suite.REGISTRY, removing(references)));
            GetDocumentsQuery get = new GetDocumentsQuery();
            get.setUniqueIds(List.of(id));
            Suite.need(suite.query(ITI_18, Suite.REGISTRY, get).getDocumentEntries().isEmpty(), "still found");
            Suite.failedWith(client.change(ITI_62, Suite.REGISTRY, removing(references)),
                    ErrorCode.UNRESOLVED_REFERENCE_EXCEPTION);
        });
    }

    private static RemoveMetadata removing(List<ObjectReference> references) {
        RemoveMetadata request = new RemoveMetadata();
        request.getReferences().addAll(references);
        return request;
    }
}
