//! The transactions: one table that dispatch, audit, metrics, access decisions, WSDL tests and
//! documentation read. A new transaction is a row here and a file in `transport/endpoint/`.

use crate::model::audit_event::{AuditCodes, EventAction};

/// A web service of the broker: one path, one WSDL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Document Registry.
    Registry,
    /// Document Repository.
    Repository,
    /// Initiating Gateway, for document consumers of our community.
    InitiatingGateway,
    /// Responding Gateway, for gateways of other communities.
    RespondingGateway,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Registry, Self::Repository, Self::InitiatingGateway, Self::RespondingGateway];

    /// Whether it stands between communities.
    pub fn is_gateway(self) -> bool {
        matches!(self, Self::InitiatingGateway | Self::RespondingGateway)
    }

    /// Its name in paths, WSDL files and the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Repository => "repository",
            Self::InitiatingGateway => "initiating-gateway",
            Self::RespondingGateway => "responding-gateway",
        }
    }

    /// The service of a path `/services/<name>`; a trailing slash is tolerated.
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.strip_prefix("/services/")?;
        let name = name.strip_suffix('/').unwrap_or(name);
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

/// Which transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransactionId {
    /// ITI-18
    RegistryStoredQuery,
    /// ITI-38
    CrossGatewayQuery,
    /// ITI-39
    CrossGatewayRetrieve,
    /// ITI-41
    ProvideAndRegisterDocumentSet,
    /// ITI-42
    RegisterDocumentSet,
    /// ITI-43
    RetrieveDocumentSet,
    /// ITI-51
    MultiPatientStoredQuery,
    /// ITI-55
    CrossGatewayPatientDiscovery,
    /// ITI-55, what was told with it taken back
    CorrelationRevocation,
    /// ITI-56
    PatientLocationQuery,
    /// ITI-57
    UpdateDocumentSet,
    /// ITI-61
    RegisterOnDemandDocumentEntry,
    /// ITI-62
    RemoveMetadata,
    /// ITI-63
    CrossGatewayFetch,
    /// ITI-80
    CrossGatewayDocumentProvide,
    /// ITI-86
    RemoveDocuments,
    /// ITI-92
    RestrictedUpdateDocumentSet,
}

/// How a transaction's messages are packaged (ITI TF-2 §V.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packaging {
    /// Plain SOAP.
    Simple,
    /// MTOM/XOP in both directions.
    Mtom,
}

/// What homeCommunityId means in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeRule {
    /// Inside one community: echoed at most.
    Ignored,
    /// Routes the request at a gateway.
    Routes,
    /// Stamped on, and required of, everything.
    Required,
}

/// One row of the table.
#[derive(Debug)]
pub struct Transaction {
    /// Which.
    pub id: TransactionId,
    /// `ITI-nn`
    pub number: &'static str,
    /// Its title in the Technical Framework.
    pub title: &'static str,
    /// Where it is defined.
    pub section: &'static str,
    /// `wsa:Action` of the request.
    pub action: &'static str,
    /// `wsa:Action` of the response.
    pub response_action: &'static str,
    /// Local name of the request's body root.
    pub request_root: &'static str,
    /// Packaging of request and response.
    pub packaging: Packaging,
    /// What homeCommunityId means.
    pub home: HomeRule,
    /// Audit columns of the requester's record.
    pub audit_requester: AuditCodes,
    /// Audit columns of the responder's record.
    pub audit_responder: AuditCodes,
    /// The action that access policies speak of.
    pub policy_action: &'static str,
    /// Where it can be received.
    pub services: &'static [Service],
}

/// All transactions, by number; what has no number of its own comes last.
pub static TRANSACTIONS: [Transaction; 17] = [
    Transaction {
        id: TransactionId::RegistryStoredQuery,
        number: "ITI-18",
        title: "Registry Stored Query",
        section: "ITI TF-2 §3.18",
        action: "urn:ihe:iti:2007:RegistryStoredQuery",
        response_action: "urn:ihe:iti:2007:RegistryStoredQueryResponse",
        request_root: "AdhocQueryRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Routes,
        audit_requester: AuditCodes::query("ITI-18", "Registry Stored Query"),
        audit_responder: AuditCodes::query("ITI-18", "Registry Stored Query"),
        policy_action: "query",
        services: &[Service::Registry, Service::InitiatingGateway],
    },
    Transaction {
        id: TransactionId::CrossGatewayQuery,
        number: "ITI-38",
        title: "Cross Gateway Query",
        section: "ITI TF-2 §3.38",
        action: "urn:ihe:iti:2007:CrossGatewayQuery",
        response_action: "urn:ihe:iti:2007:CrossGatewayQueryResponse",
        request_root: "AdhocQueryRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Required,
        audit_requester: AuditCodes::query("ITI-38", "Cross Gateway Query"),
        audit_responder: AuditCodes::query("ITI-38", "Cross Gateway Query"),
        policy_action: "query",
        services: &[Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::CrossGatewayRetrieve,
        number: "ITI-39",
        title: "Cross Gateway Retrieve",
        section: "ITI TF-2 §3.39",
        action: "urn:ihe:iti:2007:CrossGatewayRetrieve",
        response_action: "urn:ihe:iti:2007:CrossGatewayRetrieveResponse",
        request_root: "RetrieveDocumentSetRequest",
        packaging: Packaging::Mtom,
        home: HomeRule::Required,
        audit_requester: AuditCodes::import("ITI-39", "Cross Gateway Retrieve"),
        audit_responder: AuditCodes::export("ITI-39", "Cross Gateway Retrieve"),
        policy_action: "retrieve",
        services: &[Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::ProvideAndRegisterDocumentSet,
        number: "ITI-41",
        title: "Provide and Register Document Set-b",
        section: "ITI TF-2 §3.41",
        action: "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
        response_action: "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-bResponse",
        request_root: "ProvideAndRegisterDocumentSetRequest",
        packaging: Packaging::Mtom,
        home: HomeRule::Routes,
        audit_requester: AuditCodes::export("ITI-41", "Provide and Register Document Set-b"),
        audit_responder: AuditCodes::import("ITI-41", "Provide and Register Document Set-b"),
        policy_action: "submit",
        services: &[Service::Repository, Service::InitiatingGateway],
    },
    Transaction {
        id: TransactionId::RegisterDocumentSet,
        number: "ITI-42",
        title: "Register Document Set-b",
        section: "ITI TF-2 §3.42",
        action: "urn:ihe:iti:2007:RegisterDocumentSet-b",
        response_action: "urn:ihe:iti:2007:RegisterDocumentSet-bResponse",
        request_root: "SubmitObjectsRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::export("ITI-42", "Register Document Set-b"),
        audit_responder: AuditCodes::import("ITI-42", "Register Document Set-b"),
        policy_action: "submit",
        services: &[Service::Registry],
    },
    Transaction {
        id: TransactionId::RetrieveDocumentSet,
        number: "ITI-43",
        title: "Retrieve Document Set",
        section: "ITI TF-2 §3.43",
        action: "urn:ihe:iti:2007:RetrieveDocumentSet",
        response_action: "urn:ihe:iti:2007:RetrieveDocumentSetResponse",
        request_root: "RetrieveDocumentSetRequest",
        packaging: Packaging::Mtom,
        home: HomeRule::Routes,
        audit_requester: AuditCodes::import("ITI-43", "Retrieve Document Set"),
        audit_responder: AuditCodes::export("ITI-43", "Retrieve Document Set"),
        policy_action: "retrieve",
        services: &[Service::Repository, Service::InitiatingGateway],
    },
    Transaction {
        id: TransactionId::MultiPatientStoredQuery,
        number: "ITI-51",
        title: "Multi-Patient Stored Query",
        section: "ITI TF-2 §3.51",
        action: "urn:ihe:iti:2009:MultiPatientStoredQuery",
        response_action: "urn:ihe:iti:2009:MultiPatientStoredQueryResponse",
        request_root: "AdhocQueryRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::query("ITI-51", "Multi-Patient Stored Query"),
        audit_responder: AuditCodes::query("ITI-51", "Multi-Patient Stored Query"),
        policy_action: "query-many",
        services: &[Service::Registry],
    },
    Transaction {
        id: TransactionId::CrossGatewayPatientDiscovery,
        number: "ITI-55",
        title: "Cross Gateway Patient Discovery",
        section: "ITI TF-2 §3.55",
        action: "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery",
        // Named after the interactions, so not by adding to the request's.
        response_action: "urn:hl7-org:v3:PRPA_IN201306UV02:CrossGatewayPatientDiscovery",
        request_root: "PRPA_IN201305UV02",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::query("ITI-55", "Cross Gateway Patient Discovery"),
        audit_responder: AuditCodes::query("ITI-55", "Cross Gateway Patient Discovery"),
        policy_action: "discover",
        services: &[Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::PatientLocationQuery,
        number: "ITI-56",
        title: "Patient Location Query",
        section: "ITI TF-2 §3.56",
        action: "urn:ihe:iti:2009:PatientLocationQuery",
        response_action: "urn:ihe:iti:2009:PatientLocationQueryResponse",
        request_root: "PatientLocationQueryRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::query("ITI-56", "Patient Location Query"),
        audit_responder: AuditCodes::query("ITI-56", "Patient Location Query"),
        policy_action: "discover",
        services: &[Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::UpdateDocumentSet,
        number: "ITI-57",
        title: "Update Document Set",
        section: "Metadata Update §3.57",
        action: "urn:ihe:iti:2010:UpdateDocumentSet",
        response_action: "urn:ihe:iti:2010:UpdateDocumentSetResponse",
        request_root: "SubmitObjectsRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::export("ITI-57", "Update Document Set").with_action(EventAction::Update),
        audit_responder: AuditCodes::import("ITI-57", "Update Document Set").with_action(EventAction::Update),
        policy_action: "update",
        services: &[Service::Registry],
    },
    Transaction {
        id: TransactionId::RegisterOnDemandDocumentEntry,
        number: "ITI-61",
        title: "Register On-Demand Document Entry",
        section: "ITI TF-2 §3.61",
        action: "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry",
        // The framework leaves out "Entry" here (ITI TF-2 §3.61.4.2.2).
        response_action: "urn:ihe:iti:2010:RegisterOnDemandDocumentResponse",
        request_root: "SubmitObjectsRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::export("ITI-61", "Register On-Demand Document Entry"),
        audit_responder: AuditCodes::import("ITI-61", "Register On-Demand Document Entry"),
        policy_action: "submit",
        services: &[Service::Registry],
    },
    Transaction {
        id: TransactionId::RemoveMetadata,
        number: "ITI-62",
        title: "Remove Metadata",
        section: "Remove Metadata and Documents §3.62",
        // Its older name stayed in its actions.
        action: "urn:ihe:iti:2010:DeleteDocumentSet",
        response_action: "urn:ihe:iti:2010:DeleteDocumentSetResponse",
        request_root: "RemoveObjectsRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::patient_record(EventAction::Delete, "ITI-62", "Remove Metadata"),
        audit_responder: AuditCodes::patient_record(EventAction::Delete, "ITI-62", "Remove Metadata"),
        policy_action: "remove",
        services: &[Service::Registry],
    },
    Transaction {
        id: TransactionId::CrossGatewayFetch,
        number: "ITI-63",
        title: "Cross Gateway Fetch",
        section: "Cross-Community Fetch §3.63",
        action: "urn:ihe:iti:2011:CrossGatewayFetch",
        response_action: "urn:ihe:iti:2011:CrossGatewayFetchResponse",
        request_root: "AdhocQueryRequest",
        packaging: Packaging::Mtom,
        home: HomeRule::Required,
        audit_requester: AuditCodes::query("ITI-63", "Cross Gateway Fetch"),
        audit_responder: AuditCodes::query("ITI-63", "Cross Gateway Fetch"),
        // It gives documents.
        policy_action: "retrieve",
        services: &[Service::InitiatingGateway, Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::CrossGatewayDocumentProvide,
        number: "ITI-80",
        title: "Cross Gateway Document Provide",
        section: "Cross-Community Document Reliable Interchange §3.80",
        action: "urn:ihe:iti:2015:CrossGatewayDocumentProvide",
        response_action: "urn:ihe:iti:2015:CrossGatewayDocumentProvideResponse",
        request_root: "ProvideAndRegisterDocumentSetRequest",
        packaging: Packaging::Mtom,
        home: HomeRule::Required,
        audit_requester: AuditCodes::export("ITI-80", "Cross Gateway Document Provide"),
        audit_responder: AuditCodes::import("ITI-80", "Cross Gateway Document Provide"),
        policy_action: "submit",
        services: &[Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::RemoveDocuments,
        number: "ITI-86",
        title: "Remove Documents",
        section: "Remove Metadata and Documents §3.86",
        action: "urn:ihe:iti:2017:RemoveDocuments",
        response_action: "urn:ihe:iti:2017:RemoveDocumentsResponse",
        request_root: "RemoveDocumentsRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::patient_record(EventAction::Delete, "ITI-86", "Remove Documents"),
        audit_responder: AuditCodes::patient_record(EventAction::Delete, "ITI-86", "Remove Documents"),
        policy_action: "remove",
        services: &[Service::Repository],
    },
    Transaction {
        id: TransactionId::RestrictedUpdateDocumentSet,
        number: "ITI-92",
        title: "Restricted Update Document Set",
        section: "Restricted Metadata Update §3.92",
        action: "urn:ihe:iti:2018:RestrictedUpdateDocumentSet",
        response_action: "urn:ihe:iti:2018:RestrictedUpdateDocumentSetResponse",
        request_root: "SubmitObjectsRequest",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::export("ITI-92", "Restricted Update Document Set")
            .with_action(EventAction::Update),
        audit_responder: AuditCodes::import("ITI-92", "Restricted Update Document Set")
            .with_action(EventAction::Update),
        policy_action: "update",
        services: &[Service::Registry, Service::RespondingGateway],
    },
    Transaction {
        id: TransactionId::CorrelationRevocation,
        number: "ITI-55",
        title: "Cross Gateway Patient Discovery (Revoke)",
        section: "ITI TF-2 §3.55",
        action: "urn:hl7-org:v3:PRPA_IN201303UV02:CrossGatewayPatientDiscovery",
        response_action: ACKNOWLEDGED,
        request_root: "PRPA_IN201303UV02",
        packaging: Packaging::Simple,
        home: HomeRule::Ignored,
        audit_requester: AuditCodes::patient_record(
            EventAction::Delete,
            "ITI-55",
            "Cross Gateway Patient Discovery (Revoke)",
        ),
        audit_responder: AuditCodes::patient_record(
            EventAction::Delete,
            "ITI-55",
            "Cross Gateway Patient Discovery (Revoke)",
        ),
        policy_action: "discover",
        services: &[Service::RespondingGateway],
    },
];

/// The action of a patient discovery whose answer comes later, by a message of its own (§3.55.6).
pub const DEFERRED_DISCOVERY: &str = "urn:hl7-org:v3:PRPA_IN201305UV02:Deferred:CrossGatewayPatientDiscovery";

/// The action of that message.
pub const DEFERRED_DISCOVERY_RESPONSE: &str = "urn:hl7-org:v3:PRPA_IN201306UV02:Deferred:CrossGatewayPatientDiscovery";

/// The action of an acknowledgement: of a revocation, of a query whose answer comes later, and of that answer.
pub const ACKNOWLEDGED: &str = "urn:hl7-org:v3:MCCI_IN000002UV01";

impl Transaction {
    /// The row of a transaction.
    pub fn of(id: TransactionId) -> &'static Self {
        match id {
            TransactionId::RegistryStoredQuery => &TRANSACTIONS[0],
            TransactionId::CrossGatewayQuery => &TRANSACTIONS[1],
            TransactionId::CrossGatewayRetrieve => &TRANSACTIONS[2],
            TransactionId::ProvideAndRegisterDocumentSet => &TRANSACTIONS[3],
            TransactionId::RegisterDocumentSet => &TRANSACTIONS[4],
            TransactionId::RetrieveDocumentSet => &TRANSACTIONS[5],
            TransactionId::MultiPatientStoredQuery => &TRANSACTIONS[6],
            TransactionId::CrossGatewayPatientDiscovery => &TRANSACTIONS[7],
            TransactionId::PatientLocationQuery => &TRANSACTIONS[8],
            TransactionId::UpdateDocumentSet => &TRANSACTIONS[9],
            TransactionId::RegisterOnDemandDocumentEntry => &TRANSACTIONS[10],
            TransactionId::RemoveMetadata => &TRANSACTIONS[11],
            TransactionId::CrossGatewayFetch => &TRANSACTIONS[12],
            TransactionId::CrossGatewayDocumentProvide => &TRANSACTIONS[13],
            TransactionId::RemoveDocuments => &TRANSACTIONS[14],
            TransactionId::RestrictedUpdateDocumentSet => &TRANSACTIONS[15],
            TransactionId::CorrelationRevocation => &TRANSACTIONS[16],
        }
    }

    /// Whether it changes or removes what is there already.
    pub fn is_administrative(&self) -> bool {
        matches!(self.policy_action, "update" | "remove")
    }

    /// Whether it puts documents of another community into ours.
    pub fn is_from_elsewhere(&self) -> bool {
        self.policy_action == "submit" && self.home == HomeRule::Required
    }

    /// Whether it is a submission with its documents.
    pub fn carries_documents(&self) -> bool {
        self.request_root == "ProvideAndRegisterDocumentSetRequest"
    }

    /// Whether it may tell of patients whom the caller does not name.
    pub fn is_about_many(&self) -> bool {
        self.policy_action == "query-many"
    }

    /// Whether an action is that of its response; `Async` is said or not, as in requests.
    pub fn is_answered_by(&self, action: &str) -> bool {
        let action = action.strip_suffix("Async").unwrap_or(action);
        action == self.response_action
            || action
                .strip_suffix("AsyncResponse")
                .is_some_and(|stem| self.response_action.strip_suffix("Response").is_some_and(|ours| ours == stem))
    }

    /// The transaction that an action answers, also by a message of its own.
    pub fn answered_by(action: &str) -> Option<&'static Self> {
        match action {
            // An acknowledgement says that of several, all of which are ITI-55; of a revocation least often.
            DEFERRED_DISCOVERY_RESPONSE | ACKNOWLEDGED => Some(Self::of(TransactionId::CrossGatewayPatientDiscovery)),
            action => TRANSACTIONS.iter().find(|row| row.is_answered_by(action)),
        }
    }

    /// The transaction that a service receives under an action. Some stacks append `Async` to the
    /// action of an asynchronous exchange; it means the same transaction, as does a deferred one.
    pub fn find(service: Service, action: &str) -> Option<&'static Self> {
        let action = action.strip_suffix("Async").unwrap_or(action);
        let action = if action == DEFERRED_DISCOVERY {
            Self::of(TransactionId::CrossGatewayPatientDiscovery).action
        } else {
            action
        };
        TRANSACTIONS.iter().find(|row| row.action == action && row.services.contains(&service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_where_their_id_says() {
        for row in &TRANSACTIONS {
            assert_eq!(Transaction::of(row.id).number, row.number);
            let regular = row.response_action == format!("{}Response", row.action);
            let named_otherwise = [
                TransactionId::RegisterOnDemandDocumentEntry,
                TransactionId::CrossGatewayPatientDiscovery,
                TransactionId::CorrelationRevocation,
            ];
            assert!(regular || named_otherwise.contains(&row.id), "{}", row.number);
            for service in row.services {
                assert_eq!(Transaction::find(*service, row.action).unwrap().id, row.id);
            }
            for codes in [row.audit_requester, row.audit_responder] {
                assert_eq!((codes.transaction, codes.transaction_name), (row.number, row.title));
            }
        }
    }

    #[test]
    fn responses_by_their_actions() {
        let row = Transaction::of(TransactionId::CrossGatewayQuery);
        for (action, answers) in [
            ("urn:ihe:iti:2007:CrossGatewayQueryResponse", true),
            ("urn:ihe:iti:2007:CrossGatewayQueryAsyncResponse", true),
            ("urn:ihe:iti:2007:CrossGatewayQueryResponseAsync", true),
            ("urn:ihe:iti:2007:CrossGatewayQuery", false),
            ("urn:ihe:iti:2007:CrossGatewayRetrieveResponse", false),
            ("", false),
        ] {
            assert_eq!(row.is_answered_by(action), answers, "{action}");
            assert_eq!(Transaction::answered_by(action).is_some_and(|found| found.id == row.id), answers, "{action}");
        }
        for action in [DEFERRED_DISCOVERY_RESPONSE, ACKNOWLEDGED] {
            let found = Transaction::answered_by(action).map(|found| found.id);
            assert_eq!(found, Some(TransactionId::CrossGatewayPatientDiscovery));
        }
    }

    #[test]
    fn paths() {
        assert_eq!(Service::from_path("/services/registry/"), Some(Service::Registry));
        assert_eq!(Service::from_path("/services/Registry"), None);
        assert_eq!(Service::from_path("/services/registry/x"), None);
    }
}
