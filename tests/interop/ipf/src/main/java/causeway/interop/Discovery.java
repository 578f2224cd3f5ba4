package causeway.interop;

import java.io.StringReader;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.OutputKeys;
import javax.xml.transform.TransformerException;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.dom.DOMSource;
import javax.xml.transform.stream.StreamResult;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.AssigningAuthority;
import org.openehealth.ipf.commons.ihe.xds.core.metadata.Identifiable;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.w3c.dom.NodeList;
import org.xml.sax.InputSource;

/** The messages of patient discovery (ITI-55, ITI-56), which IPF hands on as text: one person, asked for and found. */
final class Discovery {
    static final String FAMILY = "Specimen";
    static final String GIVEN = "Interop";
    static final String BORN = "19480705";
    static final String GENDER = "F";

    private static final String HL7 = "urn:hl7-org:v3";
    private static final String XCPD = "urn:ihe:iti:xcpd:2009";

    /** Who is asked for: born when, known as whom in that domain; {@code id} may be null. */
    record Wanted(String born, String domain, String id) {
        static Wanted of(Identifiable patient) {
            return new Wanted(BORN, patient.getAssigningAuthority().getUniversalId(), patient.getId());
        }

        Wanted withoutId() {
            return new Wanted(born, domain, null);
        }

        Wanted bornOn(String date) {
            return new Wanted(date, domain, id);
        }
    }

    /** What a request asks for: these identifiers, and whether the person of this class. */
    record Asked(List<Identifiable> identifiers, boolean described) {}

    /** A patient who was found, and where. */
    record Match(Identifiable patient, String home, String family, String born) {}

    /** What an answer says. */
    record Answer(String acknowledgement, String code, List<Match> matches) {}

    private Discovery() {}

    // ---- asking -------------------------------------------------------------------------------------------------

    static String request(Wanted wanted, String senderOid, String receiverOid) {
        return "<PRPA_IN201305UV02 xmlns=\"" + HL7 + "\" ITSVersion=\"XML_1.0\">"
                + head("PRPA_IN201305UV02", "AL", senderOid, receiverOid)
                + "<controlActProcess classCode=\"CACT\" moodCode=\"EVN\">"
                + "<code code=\"PRPA_TE201305UV02\" codeSystem=\"2.16.840.1.113883.1.6\"/>"
                + "<authorOrPerformer typeCode=\"AUT\"><assignedDevice classCode=\"ASSIGNED\"><id root=\""
                + wanted.domain() + "\"/></assignedDevice></authorOrPerformer>"
                + "<queryByParameter><queryId root=\"" + senderOid + "\" extension=\"" + UUID.randomUUID() + "\"/>"
                + "<statusCode code=\"new\"/><responseModalityCode code=\"R\"/><responsePriorityCode code=\"I\"/>"
                + "<parameterList>"
                + "<livingSubjectAdministrativeGender><value code=\"" + GENDER + "\"/>"
                + "<semanticsText>LivingSubject.administrativeGender</semanticsText>"
                + "</livingSubjectAdministrativeGender>"
                + "<livingSubjectBirthTime><value value=\"" + wanted.born() + "\"/>"
                + "<semanticsText>LivingSubject.birthTime</semanticsText></livingSubjectBirthTime>"
                + (wanted.id() == null ? ""
                        : "<livingSubjectId><value root=\"" + wanted.domain() + "\" extension=\"" + wanted.id()
                        + "\"/><semanticsText>LivingSubject.id</semanticsText></livingSubjectId>")
                + "<livingSubjectName><value><family>" + FAMILY + "</family><given>" + GIVEN + "</given></value>"
                + "<semanticsText>LivingSubject.name</semanticsText></livingSubjectName>"
                + "</parameterList></queryByParameter></controlActProcess></PRPA_IN201305UV02>";
    }

    // ---- answering ----------------------------------------------------------------------------------------------

    static Asked asked(String request) throws Exception {
        Element root = parse(request).getDocumentElement();
        List<Identifiable> identifiers = new ArrayList<>();
        for (Element value : values(root, "livingSubjectId")) {
            identifiers.add(identifier(value));
        }
        boolean born = values(root, "livingSubjectBirthTime").stream()
                .allMatch(value -> value.getAttribute("value").equals(BORN));
        boolean named = values(root, "livingSubjectName").stream().allMatch(
                value -> all(value, "family").stream().anyMatch(name -> name.getTextContent().equals(FAMILY)));
        return new Asked(identifiers, born && named);
    }

    /** The answer of a community that knows the person as {@code found}, or not at all. */
    static String answer(String request, Identifiable found, String oid) throws Exception {
        Element root = parse(request).getDocumentElement();
        Element query = all(root, "queryByParameter").get(0);
        String receiver = all(child(root, "sender"), "representedOrganization").stream()
                .map(organisation -> child(organisation, "id").getAttribute("root")).findFirst().orElse(oid);
        return "<PRPA_IN201306UV02 xmlns=\"" + HL7 + "\" ITSVersion=\"XML_1.0\">"
                + head("PRPA_IN201306UV02", "NE", oid, receiver)
                + "<acknowledgement><typeCode code=\"AA\"/><targetMessage>" + text(child(root, "id"))
                + "</targetMessage></acknowledgement>"
                + "<controlActProcess classCode=\"CACT\" moodCode=\"EVN\">"
                + "<code code=\"PRPA_TE201306UV02\" codeSystem=\"2.16.840.1.113883.1.6\"/>"
                + (found == null ? "" : subject(found, oid))
                + "<queryAck>" + text(child(query, "queryId")) + "<statusCode code=\"deliveredResponse\"/>"
                + "<queryResponseCode code=\"" + (found == null ? "NF" : "OK") + "\"/></queryAck>"
                + text(query) + "</controlActProcess></PRPA_IN201306UV02>";
    }

    private static String subject(Identifiable found, String oid) {
        String domain = found.getAssigningAuthority().getUniversalId();
        return "<subject typeCode=\"SUBJ\"><registrationEvent classCode=\"REG\" moodCode=\"EVN\">"
                + "<id nullFlavor=\"NA\"/><statusCode code=\"active\"/><subject1 typeCode=\"SBJ\">"
                + "<patient classCode=\"PAT\"><id root=\"" + domain + "\" extension=\"" + found.getId() + "\"/>"
                + "<statusCode code=\"active\"/><patientPerson classCode=\"PSN\" determinerCode=\"INSTANCE\">"
                + "<name><family>" + FAMILY + "</family><given>" + GIVEN + "</given></name>"
                + "<administrativeGenderCode code=\"" + GENDER + "\"/><birthTime value=\"" + BORN + "\"/>"
                + "</patientPerson><providerOrganization classCode=\"ORG\" determinerCode=\"INSTANCE\"><id root=\""
                + domain + "\"/><name>Neighbouring community</name><contactParty classCode=\"CON\">"
                + "<telecom value=\"tel:+44-20-7946-0000\"/></contactParty></providerOrganization>"
                + "<subjectOf1><queryMatchObservation classCode=\"COND\" moodCode=\"EVN\"><code code=\"IHE_PDQ\"/>"
                + "<value xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"INT\" value=\"100\"/>"
                + "</queryMatchObservation></subjectOf1></patient></subject1>"
                + "<custodian typeCode=\"CST\"><assignedEntity classCode=\"ASSIGNED\"><id root=\"" + oid + "\"/>"
                + "<code code=\"NotHealthDataLocator\" codeSystem=\"1.3.6.1.4.1.19376.1.2.27.2\"/>"
                + "</assignedEntity></custodian></registrationEvent></subject>";
    }

    private static String head(String interaction, String acceptance, String sender, String receiver) {
        return "<id root=\"" + sender + "\" extension=\"" + UUID.randomUUID() + "\"/>"
                + "<creationTime value=\"20260301120000\"/>"
                + "<interactionId root=\"2.16.840.1.113883.1.6\" extension=\"" + interaction + "\"/>"
                + "<processingCode code=\"T\"/><processingModeCode code=\"T\"/>"
                + "<acceptAckCode code=\"" + acceptance + "\"/>"
                + "<receiver typeCode=\"RCV\">" + device(receiver) + "</receiver>"
                + "<sender typeCode=\"SND\">" + device(sender) + "</sender>";
    }

    /** A gateway, with its homeCommunityId. */
    private static String device(String oid) {
        return "<device classCode=\"DEV\" determinerCode=\"INSTANCE\"><id root=\"" + oid + ".3\"/>"
                + "<asAgent classCode=\"AGNT\"><representedOrganization classCode=\"ORG\" determinerCode=\"INSTANCE\">"
                + "<id root=\"" + oid + "\"/></representedOrganization></asAgent></device>";
    }

    // ---- where a patient is (ITI-56) ----------------------------------------------------------------------------

    static String locate(Identifiable patient) {
        return "<xcpd:PatientLocationQueryRequest xmlns:xcpd=\"" + XCPD + "\">"
                + id("RequestedPatientId", patient) + "</xcpd:PatientLocationQueryRequest>";
    }

    static Identifiable located(String request) throws Exception {
        return identifier((Element) parse(request).getElementsByTagNameNS(XCPD, "RequestedPatientId").item(0));
    }

    /** By home, as whom the patient is known there. */
    static String locations(Identifiable asked, Map<String, Identifiable> there) {
        StringBuilder answer = new StringBuilder("<xcpd:PatientLocationQueryResponse xmlns:xcpd=\"" + XCPD + "\">");
        there.forEach((home, patient) -> answer.append("<xcpd:PatientLocationResponse><xcpd:HomeCommunityId>")
                .append(home).append("</xcpd:HomeCommunityId>").append(id("CorrespondingPatientId", patient))
                .append(id("RequestedPatientId", asked)).append("</xcpd:PatientLocationResponse>"));
        return answer.append("</xcpd:PatientLocationQueryResponse>").toString();
    }

    static Map<String, Identifiable> locations(String answer) throws Exception {
        Map<String, Identifiable> there = new HashMap<>();
        NodeList homes = parse(answer).getElementsByTagNameNS(XCPD, "HomeCommunityId");
        for (int i = 0; i < homes.getLength(); i++) {
            Element location = (Element) homes.item(i).getParentNode();
            there.put(homes.item(i).getTextContent(), identifier(
                    (Element) location.getElementsByTagNameNS(XCPD, "CorrespondingPatientId").item(0)));
        }
        return there;
    }

    private static String id(String name, Identifiable patient) {
        return "<xcpd:" + name + " root=\"" + patient.getAssigningAuthority().getUniversalId() + "\" extension=\""
                + patient.getId() + "\"/>";
    }

    // ---- reading ------------------------------------------------------------------------------------------------

    static Answer read(String answer) throws Exception {
        Element root = parse(answer).getDocumentElement();
        List<Match> matches = new ArrayList<>();
        for (Element event : all(root, "registrationEvent")) {
            Element patient = all(event, "patient").get(0);
            Element person = child(patient, "patientPerson");
            String home = "urn:oid:" + child(all(event, "assignedEntity").get(0), "id").getAttribute("root");
            String family = all(person, "family").stream().map(Node::getTextContent).findFirst().orElse("");
            String born = all(person, "birthTime").stream().map(time -> time.getAttribute("value")).findFirst()
                    .orElse("");
            matches.add(new Match(identifier(child(patient, "id")), home, family, born));
        }
        return new Answer(code(child(root, "acknowledgement"), "typeCode"),
                code(all(root, "queryAck").get(0), "queryResponseCode"), matches);
    }

    private static String code(Element parent, String name) {
        return child(parent, name).getAttribute("code");
    }

    private static Identifiable identifier(Element id) {
        return new Identifiable(id.getAttribute("extension"), new AssigningAuthority(id.getAttribute("root"), "ISO"));
    }

    private static Document parse(String text) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        return factory.newDocumentBuilder().parse(new InputSource(new StringReader(text)));
    }

    private static List<Element> all(Element parent, String name) {
        List<Element> found = new ArrayList<>();
        NodeList nodes = parent.getElementsByTagNameNS(HL7, name);
        for (int i = 0; i < nodes.getLength(); i++) {
            found.add((Element) nodes.item(i));
        }
        return found;
    }

    private static List<Element> values(Element root, String parameter) {
        return all(root, parameter).stream().flatMap(element -> all(element, "value").stream()).toList();
    }

    private static Element child(Element parent, String name) {
        for (Node node = parent.getFirstChild(); node != null; node = node.getNextSibling()) {
            if (name.equals(node.getLocalName()) && HL7.equals(node.getNamespaceURI())) {
                return (Element) node;
            }
        }
        throw new IllegalArgumentException("no " + name + " in " + parent.getLocalName());
    }

    private static String text(Element element) throws TransformerException {
        var writer = TransformerFactory.newInstance().newTransformer();
        writer.setOutputProperty(OutputKeys.OMIT_XML_DECLARATION, "yes");
        StringWriter text = new StringWriter();
        writer.transform(new DOMSource(element), new StreamResult(text));
        return text.toString();
    }
}
