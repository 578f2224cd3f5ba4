package causeway.interop;

import jakarta.activation.DataHandler;
import jakarta.activation.DataSource;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Address;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssigningAuthority;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Author;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AvailabilityStatus;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.CXiAssigningAuthority;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.DocumentEntry;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.LocalizedString;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Organization;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.PatientInfo;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Person;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.ReferenceId;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Telecom;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.XpnName;

/** Documents and their metadata, of a person who does not exist. */
final class Samples {
    static final String SUMMARY = "summary";
    static final String LETTER = "letter";

    private static final String ORGANISATIONS = "2.16.840.1.113883.2.1.4.3";
    private static final String SAMPLES = "2.999.826.9.1";

    private Samples() {}

    /** A DocumentEntry with every attribute filled that a source may fill, hash and size excepted. */
    static DocumentEntry entry(Codes codes, String kind, Identifiable patient, String uniqueId, String title) {
        DocumentEntry entry = new DocumentEntry();
        entry.setUniqueId(uniqueId);
        entry.setPatientId(patient);
        entry.setTitle(text(title));
        // characters that XML must escape, and one beyond Latin-1
        entry.setComments(text("Bloods <4.0 & \"stable\" – review in 2 weeks"));
        entry.setMimeType(codes.text(kind + ".mimeType"));
        entry.setClassCode(codes.code(kind + ".classCode"));
        entry.setTypeCode(codes.code(kind + ".typeCode"));
        entry.setFormatCode(codes.code(kind + ".formatCode"));
        entry.setPracticeSettingCode(codes.code("practiceSettingCode"));
        entry.setHealthcareFacilityTypeCode(codes.code("healthcareFacilityTypeCode"));
        entry.getConfidentialityCodes().add(codes.code("confidentialityCode"));
        entry.setLanguageCode("en-GB");
        entry.setCreationTime("20260301101530");
        entry.setServiceStartTime("202602251130");
        entry.setServiceStopTime("20260301");
        entry.getAuthors().add(author());
        entry.setLegalAuthenticator(person("Adeyemi", "Grace", "G7654321"));
        entry.setSourcePatientId(new Identifiable("IPF-4711", new AssigningAuthority(SAMPLES + ".1", "ISO")));
        entry.setSourcePatientInfo(patientInfo());
        entry.getReferenceIdList().add(new ReferenceId(
                "ACC-4711", new CXiAssigningAuthority(null, SAMPLES + ".2", "ISO"), ReferenceId.ID_TYPE_CODE_ACCESSION));
        entry.setUri(uniqueId + ".bin");
        return entry;
    }

    static Author author() {
        Author author = new Author();
        author.setAuthorPerson(person("O'Brien", "Siân", "G1234567"));
        author.getAuthorInstitution().add(
                new Organization("Sample Hospital", "ZZ9742", new AssigningAuthority(ORGANISATIONS, "ISO")));
        author.getAuthorRole().add(new Identifiable("consultant"));
        author.getAuthorSpecialty().add(new Identifiable("general medicine"));
        author.getAuthorTelecom().add(new Telecom("ward@hospital.example"));
        return author;
    }

    static LocalizedString text(String value) {
        return new LocalizedString(value, "en-GB", "UTF-8");
    }

    private static Person person(String family, String given, String id) {
        return new Person(new Identifiable(id, new AssigningAuthority(SAMPLES + ".3", "ISO")),
                new XpnName(family, given, null, null, "Dr", null));
    }

    private static PatientInfo patientInfo() {
        PatientInfo info = new PatientInfo();
        info.getNames().add(new XpnName("Interop", "Specimen", null, null, null, null));
        info.setDateOfBirth("19480705");
        info.setGender("F");
        Address address = new Address();
        address.setStreetAddress("1 Sample Row");
        address.setCity("London");
        address.setZipOrPostalCode("ZZ99 9ZZ");
        info.getAddresses().add(address);
        return info;
    }

    /** The small document: XML, so its bytes show if anybody re-encodes it. */
    static byte[] summary(String uniqueId) {
        return ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"
                + "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><id root=\"" + uniqueId + "\"/>"
                + "<title>Discharge summary – naïve café ☂</title></ClinicalDocument>\n")
                .getBytes(StandardCharsets.UTF_8);
    }

    /** The large document: has the head of a PDF and then every byte value, line ends and boundary-like dashes too. */
    static byte[] letter(String uniqueId, int size) {
        byte[] bytes = new byte[size];
        new Random(uniqueId.hashCode()).nextBytes(bytes);
        byte[] head = "%PDF-1.7\n\r\n--uuid:\r\n--\r\n".getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(head, 0, bytes, 0, Math.min(head.length, size));
        return bytes;
    }

    /**
     * The holdings of the responding gateway: uniqueId to bytes. The suite can name them without being told, so it
     * compares what comes through a broker with what the gateway holds, not with what the broker says about it.
     */
    static Map<String, byte[]> holdings(String repository, int documents) {
        Map<String, byte[]> holdings = new LinkedHashMap<>();
        for (int n = 1; n <= documents; n++) {
            String uniqueId = repository + ".47." + n;
            holdings.put(uniqueId, kind(n).equals(SUMMARY) ? summary(uniqueId) : letter(uniqueId, 70_000 * n + 13));
        }
        return holdings;
    }

    /** Their metadata, as their source wrote it. */
    static Map<String, DocumentEntry> holdingsEntries(Codes codes, Identifiable patient, Set<String> uniqueIds) {
        Map<String, DocumentEntry> entries = new LinkedHashMap<>();
        for (String id : uniqueIds) {
            int n = entries.size() + 1;
            entries.put(id, entry(codes, kind(n), patient, id, "Neighbour's document " + n));
        }
        return entries;
    }

    /** Kind of the n-th of the gateway's documents: they alternate. */
    static String kind(int n) {
        return n % 2 == 1 ? SUMMARY : LETTER;
    }

    /** What a registry adds to an entry. */
    static void register(DocumentEntry entry, byte[] bytes, String entryUuid, String repository, String home) {
        entry.setEntryUuid(entryUuid);
        entry.setLogicalUuid(entryUuid);
        entry.setRepositoryUniqueId(repository);
        entry.setHomeCommunityId(home);
        entry.setAvailabilityStatus(AvailabilityStatus.APPROVED);
        entry.setHash(sha1(bytes));
        entry.setSize((long) bytes.length);
    }

    static String sha1(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Bytes with a content type, as MTOM wants them. */
    static DataHandler handler(byte[] bytes, String mimeType) {
        return new DataHandler(new DataSource() {
            @Override
            public InputStream getInputStream() {
                return new ByteArrayInputStream(bytes);
            }

            @Override
            public OutputStream getOutputStream() {
                throw new UnsupportedOperationException();
            }

            @Override
            public String getContentType() {
                return mimeType;
            }

            @Override
            public String getName() {
                return "document";
            }
        });
    }
}
