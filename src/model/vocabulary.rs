//! Every UUID and URN of the framework, once, each with its section.

/// Node of a RegistryPackage that is a SubmissionSet (ITI TF-3 §4.2.5.1).
pub const SUBMISSION_SET_NODE: &str = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd";
/// Node of a RegistryPackage that is a Folder (ITI TF-3 §4.2.5.1).
pub const FOLDER_NODE: &str = "urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2";
/// Flags of limited metadata on SubmissionSet, DocumentEntry, Folder (ITI TF-3 §4.2.3).
pub const LIMITED_METADATA_NODES: [&str; 3] = [
    "urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707",
    "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85",
    "urn:uuid:2c144a76-29a9-4b7c-af54-b25409fe7d03",
];

/// objectType of a stable DocumentEntry (ITI TF-3 §4.2.5.2).
pub const STABLE: &str = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1";
/// objectType of an on-demand DocumentEntry (ITI TF-3 §4.2.5.2).
pub const ON_DEMAND: &str = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248";
/// objectType of SubmissionSet and Folder.
pub const PACKAGE_TYPE: &str = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:RegistryPackage";
/// objectType of an Association.
pub const ASSOCIATION_TYPE: &str = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:Association";
/// objectType of a Classification.
pub const CLASSIFICATION_TYPE: &str = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:Classification";
/// objectType of an ExternalIdentifier.
pub const IDENTIFIER_TYPE: &str = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:ExternalIdentifier";

/// Classification schemes (ITI TF-3 §4.2.5.1).
pub mod scheme {
    /// DocumentEntry.author
    pub const ENTRY_AUTHOR: &str = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d";
    /// DocumentEntry.classCode
    pub const CLASS_CODE: &str = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a";
    /// DocumentEntry.confidentialityCode
    pub const CONFIDENTIALITY_CODE: &str = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f";
    /// DocumentEntry.eventCodeList
    pub const EVENT_CODE: &str = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4";
    /// DocumentEntry.formatCode
    pub const FORMAT_CODE: &str = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d";
    /// DocumentEntry.healthcareFacilityTypeCode
    pub const FACILITY_TYPE_CODE: &str = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1";
    /// DocumentEntry.practiceSettingCode
    pub const PRACTICE_SETTING_CODE: &str = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead";
    /// DocumentEntry.typeCode
    pub const TYPE_CODE: &str = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983";
    /// SubmissionSet.author
    pub const SET_AUTHOR: &str = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d";
    /// SubmissionSet.contentTypeCode
    pub const CONTENT_TYPE_CODE: &str = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500";
    /// Folder.codeList
    pub const FOLDER_CODE: &str = "urn:uuid:1ba97051-7806-41a8-a48b-8fce7af683c5";
    /// Association documentation
    pub const ASSOCIATION_DOCUMENTATION: &str = "urn:uuid:abd807a3-4432-4053-87b4-fd82c643d1f3";
}

/// External identifier schemes (ITI TF-3 §4.2.5.1).
pub mod identifier {
    /// DocumentEntry.patientId
    pub const ENTRY_PATIENT_ID: &str = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427";
    /// DocumentEntry.uniqueId
    pub const ENTRY_UNIQUE_ID: &str = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab";
    /// SubmissionSet.patientId
    pub const SET_PATIENT_ID: &str = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446";
    /// SubmissionSet.uniqueId
    pub const SET_UNIQUE_ID: &str = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8";
    /// SubmissionSet.sourceId
    pub const SET_SOURCE_ID: &str = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832";
    /// Folder.patientId
    pub const FOLDER_PATIENT_ID: &str = "urn:uuid:f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a";
    /// Folder.uniqueId
    pub const FOLDER_UNIQUE_ID: &str = "urn:uuid:75df8f67-9973-4fbe-a900-df66cefecc5a";
}

/// Association types (ITI TF-3 Table 4.2.2-1).
pub mod association {
    /// Membership, in four variants.
    pub const HAS_MEMBER: &str = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember";
    /// Replace.
    pub const RPLC: &str = "urn:ihe:iti:2007:AssociationType:RPLC";
    /// Transform.
    pub const XFRM: &str = "urn:ihe:iti:2007:AssociationType:XFRM";
    /// Append.
    pub const APND: &str = "urn:ihe:iti:2007:AssociationType:APND";
    /// Transform and replace.
    pub const XFRM_RPLC: &str = "urn:ihe:iti:2007:AssociationType:XFRM_RPLC";
    /// Digital signature.
    pub const SIGNS: &str = "urn:ihe:iti:2007:AssociationType:signs";
    /// Stable snapshot of an on-demand entry.
    pub const IS_SNAPSHOT_OF: &str = "urn:ihe:iti:2010:AssociationType:IsSnapshotOf";
    /// Operation: change the status of its target (Metadata Update); never stored.
    pub const UPDATE_STATUS: &str = "urn:ihe:iti:2010:AssociationType:UpdateAvailabilityStatus";
    /// Operation: add the association that is its target (Metadata Update); never stored.
    pub const SUBMIT_ASSOCIATION: &str = "urn:ihe:iti:2010:AssociationType:SubmitAssociation";
}

/// Purpose of use, as assertions say it (ITI TF-2 §3.40.4.1.2).
pub mod purpose_of_use {
    /// Names of the attribute: the standard's, and one that is seen.
    pub const ATTRIBUTES: [&str; 2] =
        ["urn:oasis:names:tc:xspa:1.0:subject:purposeofuse", "urn:oasis:names:tc:xspa:1.0:subject:purposeOfUse"];
    /// Names of the coded element in it: the standard's, and one that is seen.
    pub const ELEMENTS: [&str; 2] = ["PurposeOfUse", "PurposeForUse"];
    /// HL7 ActReason, the code system.
    pub const ACT_REASON: &str = "2.16.840.1.113883.5.8";
    /// The code system of the Nationwide Health Information Network, whose words for an emergency are among the words.
    pub const NHIN: &str = "2.16.840.1.113883.3.18.7.1";
    /// The codes of ActReason for emergency treatment, and for breaking the glass.
    pub const EMERGENCY: [&str; 2] = ["ETREAT", "BTG"];
    /// Words that mean one where it is not said of which code system they are, or of another one (XSPA).
    pub const EMERGENCY_WORDS: [&str; 3] = ["ETREAT", "BTG", "EMERGENCY"];
}

/// availabilityStatus: Approved (ITI TF-3 §4.2.3.2.2).
pub const APPROVED: &str = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved";
/// availabilityStatus: Deprecated (ITI TF-3 §4.2.3.2.2).
pub const DEPRECATED: &str = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated";
/// documentAvailability: Online (Metadata Update).
pub const ONLINE: &str = "urn:ihe:iti:2010:DocumentAvailability:Online";
/// documentAvailability: Offline (Metadata Update).
pub const OFFLINE: &str = "urn:ihe:iti:2010:DocumentAvailability:Offline";

/// Slot names (ITI TF-3 §4.2.3).
pub mod slot {
    /// DocumentEntry.creationTime
    pub const CREATION_TIME: &str = "creationTime";
    /// DocumentEntry.serviceStartTime
    pub const SERVICE_START_TIME: &str = "serviceStartTime";
    /// DocumentEntry.serviceStopTime
    pub const SERVICE_STOP_TIME: &str = "serviceStopTime";
    /// DocumentEntry.hash
    pub const HASH: &str = "hash";
    /// DocumentEntry.size
    pub const SIZE: &str = "size";
    /// DocumentEntry.languageCode
    pub const LANGUAGE_CODE: &str = "languageCode";
    /// DocumentEntry.legalAuthenticator
    pub const LEGAL_AUTHENTICATOR: &str = "legalAuthenticator";
    /// DocumentEntry.sourcePatientId
    pub const SOURCE_PATIENT_ID: &str = "sourcePatientId";
    /// DocumentEntry.sourcePatientInfo
    pub const SOURCE_PATIENT_INFO: &str = "sourcePatientInfo";
    /// DocumentEntry.URI
    pub const URI: &str = "URI";
    /// DocumentEntry.repositoryUniqueId
    pub const REPOSITORY_UNIQUE_ID: &str = "repositoryUniqueId";
    /// DocumentEntry.documentAvailability
    pub const DOCUMENT_AVAILABILITY: &str = "documentAvailability";
    /// DocumentEntry.referenceIdList
    pub const REFERENCE_ID_LIST: &str = "urn:ihe:iti:xds:2013:referenceIdList";
    /// SubmissionSet.submissionTime
    pub const SUBMISSION_TIME: &str = "submissionTime";
    /// SubmissionSet.intendedRecipient
    pub const INTENDED_RECIPIENT: &str = "intendedRecipient";
    /// Folder.lastUpdateTime
    pub const LAST_UPDATE_TIME: &str = "lastUpdateTime";
    /// author
    pub const AUTHOR_PERSON: &str = "authorPerson";
    /// author
    pub const AUTHOR_INSTITUTION: &str = "authorInstitution";
    /// author
    pub const AUTHOR_ROLE: &str = "authorRole";
    /// author
    pub const AUTHOR_SPECIALTY: &str = "authorSpecialty";
    /// author
    pub const AUTHOR_TELECOMMUNICATION: &str = "authorTelecommunication";
    /// The scheme of a code Classification.
    pub const CODING_SCHEME: &str = "codingScheme";
    /// Association SubmissionSet → DocumentEntry: Original or Reference.
    pub const SUBMISSION_SET_STATUS: &str = "SubmissionSetStatus";
    /// Metadata Update: the version that an update is of.
    pub const PREVIOUS_VERSION: &str = "PreviousVersion";
    /// Metadata Update: whether the new version takes over its associations.
    pub const ASSOCIATION_PROPAGATION: &str = "AssociationPropagation";
    /// Metadata Update: the status that is to change.
    pub const ORIGINAL_STATUS: &str = "OriginalStatus";
    /// Metadata Update: what it becomes.
    pub const NEW_STATUS: &str = "NewStatus";
}

/// Namespaces (ITI TF-2 Table V.2.4-1).
pub mod ns {
    /// SOAP 1.2
    pub const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
    /// SOAP 1.1
    pub const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
    /// WS-Addressing 1.0
    pub const WSA: &str = "http://www.w3.org/2005/08/addressing";
    /// WS-Security
    pub const WSSE: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
    /// XOP
    pub const XOP: &str = "http://www.w3.org/2004/08/xop/include";
    /// ebRIM 3.0
    pub const RIM: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0";
    /// ebRS 3.0
    pub const RS: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0";
    /// ebRS 3.0 lifecycle
    pub const LCM: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0";
    /// ebRS 3.0 query
    pub const QUERY: &str = "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0";
    /// XDS.b
    pub const XDSB: &str = "urn:ihe:iti:xds-b:2007";
    /// XCPD
    pub const XCPD: &str = "urn:ihe:iti:xcpd:2009";
    /// XDR home community block
    pub const XDR: &str = "urn:ihe:iti:xdr:2014";
    /// Direct addressing block, seen from XDR edges
    pub const DIRECT: &str = "urn:direct:addressing";
    /// `traceparent` and `tracestate` as header blocks: no standard, the use of OpenTelemetry's WCF instrumentation
    pub const TRACE: &str = "https://www.w3.org/TR/trace-context/";
    /// HL7 version 3
    pub const HL7V3: &str = "urn:hl7-org:v3";
    /// xsi:type
    pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
    /// xml:lang and friends
    pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
}

/// Texts that stored records name by number. The order is part of the disk format: append only.
pub const KNOWN: &[&str] = &[
    "",
    STABLE,
    ON_DEMAND,
    PACKAGE_TYPE,
    ASSOCIATION_TYPE,
    CLASSIFICATION_TYPE,
    IDENTIFIER_TYPE,
    SUBMISSION_SET_NODE,
    FOLDER_NODE,
    APPROVED,
    DEPRECATED,
    ONLINE,
    OFFLINE,
    scheme::ENTRY_AUTHOR,
    scheme::CLASS_CODE,
    scheme::CONFIDENTIALITY_CODE,
    scheme::EVENT_CODE,
    scheme::FORMAT_CODE,
    scheme::FACILITY_TYPE_CODE,
    scheme::PRACTICE_SETTING_CODE,
    scheme::TYPE_CODE,
    scheme::SET_AUTHOR,
    scheme::CONTENT_TYPE_CODE,
    scheme::FOLDER_CODE,
    scheme::ASSOCIATION_DOCUMENTATION,
    identifier::ENTRY_PATIENT_ID,
    identifier::ENTRY_UNIQUE_ID,
    identifier::SET_PATIENT_ID,
    identifier::SET_UNIQUE_ID,
    identifier::SET_SOURCE_ID,
    identifier::FOLDER_PATIENT_ID,
    identifier::FOLDER_UNIQUE_ID,
    association::HAS_MEMBER,
    association::RPLC,
    association::XFRM,
    association::APND,
    association::XFRM_RPLC,
    association::SIGNS,
    association::IS_SNAPSHOT_OF,
    slot::CREATION_TIME,
    slot::SERVICE_START_TIME,
    slot::SERVICE_STOP_TIME,
    slot::HASH,
    slot::SIZE,
    slot::LANGUAGE_CODE,
    slot::LEGAL_AUTHENTICATOR,
    slot::SOURCE_PATIENT_ID,
    slot::SOURCE_PATIENT_INFO,
    slot::URI,
    slot::REPOSITORY_UNIQUE_ID,
    slot::DOCUMENT_AVAILABILITY,
    slot::REFERENCE_ID_LIST,
    slot::SUBMISSION_TIME,
    slot::INTENDED_RECIPIENT,
    slot::LAST_UPDATE_TIME,
    slot::AUTHOR_PERSON,
    slot::AUTHOR_INSTITUTION,
    slot::AUTHOR_ROLE,
    slot::AUTHOR_SPECIALTY,
    slot::AUTHOR_TELECOMMUNICATION,
    slot::CODING_SCHEME,
    slot::SUBMISSION_SET_STATUS,
    slot::PREVIOUS_VERSION,
    slot::ASSOCIATION_PROPAGATION,
    "Original",
    "Reference",
    "XDSDocumentEntry.patientId",
    "XDSDocumentEntry.uniqueId",
    "XDSSubmissionSet.patientId",
    "XDSSubmissionSet.uniqueId",
    "XDSSubmissionSet.sourceId",
    "XDSFolder.patientId",
    "XDSFolder.uniqueId",
    "1",
    "1.1",
    "UTF-8",
    "en-US",
    "en-GB",
    "en",
    "application/pdf",
    "text/plain",
    "text/xml",
    "application/fhir+json",
    "application/octet-stream",
    "image/jpeg",
    "image/tiff",
    "2.16.840.1.113883.6.96",
    "2.16.840.1.113883.6.1",
    "2.16.840.1.113883.5.25",
    "1.3.6.1.4.1.19376.1.2.3",
    "urn:ihe:iti:xds:2017:mimeTypeSufficient",
    "urn:ihe:iti:xds-sd:pdf:2008",
    "N",
    "R",
    "V",
    "PID-8|M",
    "PID-8|F",
];
