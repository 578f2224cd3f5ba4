//! What can be sent: each request once, for all checks that look at its answer.
//!
//! Nothing here can change anything at a server: the only transactions are queries and retrieves, the
//! actions that are wrong are nobody's, and ids are made up unless the operator gave them.

use http::{HeaderName, Method, header};
use uuid::Uuid;

use super::Knowledge;
use super::line::Prepared;
use crate::model::document::DocumentRequest;
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId, UniqueId};
use crate::model::rim::Slot;
use crate::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use crate::model::vocabulary as v;
use crate::transaction::{Packaging, Service, Transaction, TransactionId};
use crate::wire::mtom::{MultipartWriter, simple_content_type};
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::{ebrs, xdsb};

/// An action, a namespace and a parameter that are nobody's.
const NOBODYS: &str = "urn:causeway:probe:unknown";

/// A request. The first group is of the service's first transaction: a query, or the retrieve of a
/// repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // `describe` says what each is.
pub enum Ask {
    Plain,
    Second,
    Chunked,
    Anonymous,
    OtherActionParameter,
    OptionalHeader,
    MandatoryHeader,
    UnknownAction,
    NoAction,
    TwoActions,
    OtherBody,
    EmptyBody,
    Doctype,
    Broken,
    Soap11,
    OldTls,
    Wsdl,
    Get,
    PlainText,
    WithoutHome,
    UnknownHome,
    UnknownQuery,
    NoPatient,
    NoId,
    TwoIds,
    BadSyntax,
    References,
    UnknownParameter,
    MadeUpPatient,
    Retrieve,
    RetrieveKnown,
    RetrieveWithoutHome,
    RetrieveUnknownHome,
    RetrieveWithoutId,
    RetrieveSimple,
    PatientFind,
    PatientReferences,
    PatientById,
    PatientRetrieve,
}

/// On which connection a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// On the one that is there, or a new one.
    Any,
    /// On the one that is there, and no other.
    Same,
    /// On a new one, without a certificate of ours.
    Anonymous,
    /// Not at all: only the first message of an old TLS version.
    OldTls,
}

/// Ids of nothing and nobody, made up for one run.
pub struct Made {
    /// Of a document.
    pub unique_id: String,
    /// Of a repository.
    pub repository: String,
    /// Of a community.
    pub home: String,
    /// Of a stored query.
    pub query: String,
    /// Of a patient, in a domain that is made up as well.
    pub patient: String,
}

impl Made {
    /// Made up.
    pub fn new() -> Self {
        // ITU-T X.667: every UUID is an OID below 2.25, and a random one nobody else's.
        let oid = || format!("2.25.{}", Uuid::new_v4().as_u128());
        Self {
            unique_id: oid(),
            repository: oid(),
            home: format!("urn:oid:{}", oid()),
            query: Uuid::new_v4().urn().to_string(),
            patient: format!("probe-{}^^^&{}&ISO", Uuid::new_v4().simple(), oid()),
        }
    }
}

impl Default for Made {
    fn default() -> Self {
        Self::new()
    }
}

/// What was asked, for the judges.
pub struct Asked {
    /// The transaction.
    pub transaction: &'static Transaction,
    /// `wsa:MessageID`
    pub message_id: String,
    /// Whether it went to a community by name.
    pub has_home: bool,
}

/// The kinds of body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Query,
    Retrieve,
}

impl Ask {
    /// The request that serves for it at that service.
    pub fn at(self, service: Service) -> Self {
        if self == Self::Retrieve && service == Service::Repository { Self::Plain } else { self }
    }

    /// What is sent, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Plain => "a correct request for a document that is made up",
            Self::Second => "the same on the same connection",
            Self::Chunked => "the same in HTTP chunks",
            Self::Anonymous => "the same on a connection without client certificate",
            Self::OtherActionParameter => "the same with another action in Content-Type and SOAPAction",
            Self::OptionalHeader => "the same with an unknown header that need not be understood",
            Self::MandatoryHeader => "the same with an unknown header that must be understood",
            Self::UnknownAction => "the same with an unknown wsa:Action",
            Self::NoAction => "the same without wsa:Action",
            Self::TwoActions => "the same with wsa:Action twice",
            Self::OtherBody => "the action with the body of another transaction",
            Self::EmptyBody => "the action with an empty env:Body",
            Self::Doctype => "the same behind a DOCTYPE",
            Self::Broken => "the same without its last end tag",
            Self::Soap11 => "the same in SOAP 1.1",
            Self::OldTls => "the first message of a client that has TLS 1.1",
            Self::Wsdl => "GET ?wsdl",
            Self::Get => "GET",
            Self::PlainText => "POST of text/plain",
            Self::WithoutHome => "GetDocuments without home",
            Self::UnknownHome => "GetDocuments with a home that is made up",
            Self::UnknownQuery => "a stored query whose id is made up",
            Self::NoPatient => "FindDocuments without patient",
            Self::NoId => "GetDocuments without any id",
            Self::TwoIds => "GetDocuments by entryUUID and by uniqueId",
            Self::BadSyntax => "GetDocuments whose list of ids does not end",
            Self::References => "GetDocuments with returnType ObjectRef",
            Self::UnknownParameter => "GetDocuments with an unknown parameter",
            Self::MadeUpPatient => "FindDocuments of a patient who is made up",
            Self::Retrieve => "a retrieve from a repository that is made up",
            Self::RetrieveKnown => "a retrieve of a made-up document from a repository of its",
            Self::RetrieveWithoutHome => "a retrieve without HomeCommunityId",
            Self::RetrieveUnknownHome => "a retrieve from a community that is made up",
            Self::RetrieveWithoutId => "a retrieve without DocumentUniqueId",
            Self::RetrieveSimple => "a retrieve as simple SOAP",
            Self::PatientFind => "FindDocuments of the patient given",
            Self::PatientReferences => "the same with returnType ObjectRef",
            Self::PatientById => "GetDocuments by the entryUUID of a document found",
            Self::PatientRetrieve => "a retrieve of a document found",
        }
    }

    /// What must have been asked before.
    pub fn after(self, knowledge: &Knowledge) -> Option<Self> {
        let service = knowledge.settings.service;
        let learns = knowledge.is_gateway() && knowledge.home.is_none();
        match self {
            Self::WithoutHome | Self::Wsdl | Self::Get | Self::PlainText | Self::MadeUpPatient => None,
            Self::PatientFind => None,
            Self::PatientReferences | Self::PatientById | Self::PatientRetrieve => Some(Self::PatientFind),
            Self::RetrieveKnown
                if knowledge.repository.is_none()
                    && knowledge.settings.patient.is_some()
                    && service != Service::Repository =>
            {
                Some(Self::PatientFind)
            }
            // The connection of the request before is wanted; or that it is reached, for a refusal to mean something.
            Self::Second | Self::Anonymous | Self::OldTls => Some(Self::Plain),
            _ if learns => Some(Self::WithoutHome),
            _ => None,
        }
    }

    fn kind(self, service: Service) -> Kind {
        match self {
            Self::Retrieve
            | Self::RetrieveKnown
            | Self::RetrieveWithoutHome
            | Self::RetrieveUnknownHome
            | Self::RetrieveWithoutId
            | Self::RetrieveSimple
            | Self::PatientRetrieve => Kind::Retrieve,
            Self::WithoutHome
            | Self::UnknownHome
            | Self::UnknownQuery
            | Self::NoPatient
            | Self::NoId
            | Self::TwoIds
            | Self::BadSyntax
            | Self::References
            | Self::UnknownParameter
            | Self::MadeUpPatient
            | Self::PatientFind
            | Self::PatientReferences
            | Self::PatientById => Kind::Query,
            _ if service == Service::Repository => Kind::Retrieve,
            _ => Kind::Query,
        }
    }

    fn way(self) -> Way {
        match self {
            Self::Second => Way::Same,
            Self::Anonymous => Way::Anonymous,
            Self::OldTls => Way::OldTls,
            _ => Way::Any,
        }
    }
}

/// Makes a request of what is known.
///
/// # Errors
/// Why it cannot be sent to this server.
pub fn prepare(ask: Ask, knowledge: &Knowledge) -> Result<(Asked, Prepared), String> {
    let service = knowledge.settings.service;
    if matches!(ask, Ask::OldTls | Ask::Anonymous) && knowledge.settings.uri.scheme_str() == Some("http") {
        return Err("the URL is plain http".to_owned());
    }
    if matches!(ask, Ask::OldTls | Ask::Anonymous) && !knowledge.reached {
        return Err("the service is not reached with a certificate either".to_owned());
    }
    let kind = ask.kind(service);
    let transaction = Transaction::of(match (kind, service) {
        (Kind::Query, Service::RespondingGateway) => TransactionId::CrossGatewayQuery,
        (Kind::Query, _) => TransactionId::RegistryStoredQuery,
        (Kind::Retrieve, Service::RespondingGateway) => TransactionId::CrossGatewayRetrieve,
        (Kind::Retrieve, _) => TransactionId::RetrieveDocumentSet,
    });
    let body = match (ask, kind) {
        (Ask::EmptyBody, _) => Body::default(),
        (Ask::OtherBody, Kind::Query) => retrieve(ask, knowledge)?,
        (_, Kind::Query) | (Ask::OtherBody, Kind::Retrieve) => query(ask, knowledge)?,
        (_, Kind::Retrieve) => retrieve(ask, knowledge)?,
    };
    let asked = Asked { transaction, message_id: soap::new_message_id(), has_home: body.has_home };
    let uri = match &knowledge.settings.retrieve_uri {
        Some(uri) if kind == Kind::Retrieve => uri,
        _ => &knowledge.settings.uri,
    };
    let mut prepared = Prepared {
        way: ask.way(),
        retrieves: kind == Kind::Retrieve,
        method: Method::POST,
        query: None,
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        chunked: ask == Ask::Chunked,
    };
    match ask {
        Ask::Wsdl | Ask::Get => {
            prepared.method = Method::GET;
            prepared.query = (ask == Ask::Wsdl).then_some("wsdl");
        }
        Ask::PlainText => {
            prepared.headers.push((header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()));
            prepared.body = "This is no SOAP message.".into();
        }
        _ => pack(ask, &asked, envelope(ask, &asked, &uri.to_string(), knowledge, &body.bytes), &mut prepared)?,
    }
    Ok((asked, prepared))
}

/// The one element of a body.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    has_home: bool,
}

/// The envelope, right or wrong.
fn envelope(ask: Ask, asked: &Asked, to: &str, knowledge: &Knowledge, body: &[u8]) -> Vec<u8> {
    let version = if ask == Ask::Soap11 { Version::V11 } else { Version::V12 };
    let action = match ask {
        Ask::UnknownAction => Some(NOBODYS),
        Ask::NoAction => None,
        _ => Some(asked.transaction.action),
    };
    let addressing = Addressing {
        action: action.map(str::to_owned),
        message_id: Some(asked.message_id.clone()),
        to: Some(to.to_owned()),
        reply_to: Some(soap::ANONYMOUS.to_owned()),
        ..Addressing::default()
    };
    let mut headers = knowledge.settings.security.clone().unwrap_or_default();
    match ask {
        Ask::TwoActions => headers.push_str(&format!("<wsa:Action>{}</wsa:Action>", asked.transaction.action)),
        Ask::MandatoryHeader => {
            headers.push_str(&format!("<probe:Unknown xmlns:probe=\"{NOBODYS}\" env:mustUnderstand=\"true\"/>"));
        }
        Ask::OptionalHeader => headers.push_str(&format!("<probe:Unknown xmlns:probe=\"{NOBODYS}\"/>")),
        _ => {}
    }
    let mut out = Vec::with_capacity(2048);
    if ask == Ask::Doctype {
        // Nothing outside the message is named, and the entity is not used: a parser that reads it takes no harm.
        out.extend_from_slice(b"<!DOCTYPE probe [<!ENTITY probe \"probe\">]>");
    }
    soap::write_start(&mut out, version, &addressing, Some(&headers));
    out.extend_from_slice(body);
    if ask == Ask::Broken {
        out.extend_from_slice(b"</env:Body>");
    } else {
        soap::write_end(&mut out);
    }
    out
}

/// Packs an envelope as its transaction wants it.
fn pack(ask: Ask, asked: &Asked, envelope: Vec<u8>, prepared: &mut Prepared) -> Result<(), String> {
    let soap11 = ask == Ask::Soap11;
    let action = match ask {
        Ask::UnknownAction | Ask::OtherActionParameter => Some(NOBODYS),
        Ask::NoAction => None,
        _ => Some(asked.transaction.action),
    };
    if soap11 || ask == Ask::OtherActionParameter {
        let value = format!("\"{}\"", action.unwrap_or_default());
        prepared.headers.push((HeaderName::from_static("soapaction"), value));
    }
    let content_type = if asked.transaction.packaging == Packaging::Simple || ask == Ask::RetrieveSimple {
        prepared.body = envelope.into();
        simple_content_type(soap11, action)
    } else {
        let token = Uuid::new_v4().simple();
        let writer = MultipartWriter::new(format!("MIMEBoundary_{token}"), format!("root.{token}@causeway"))
            .map_err(|error| error.to_string())?;
        let writer = if soap11 { writer.with_soap11() } else { writer };
        let mut body = writer.root_part().to_vec();
        body.extend_from_slice(&envelope);
        body.extend_from_slice(&writer.close());
        prepared.body = body.into();
        writer.content_type(action)
    };
    prepared.headers.push((header::CONTENT_TYPE, content_type));
    Ok(())
}

/// Why nothing can be asked of a gateway by id.
fn no_home() -> String {
    "its homeCommunityId is not known: give --home".to_owned()
}

fn known_home(knowledge: &Knowledge) -> Result<Option<String>, String> {
    match &knowledge.home {
        _ if !knowledge.is_gateway() => Ok(None),
        Some(home) => Ok(Some(home.to_string())),
        None => Err(no_home()),
    }
}

fn text(name: &'static str, value: &str) -> Slot<'static> {
    Slot::single(name, format!("'{}'", value.replace('\'', "''")))
}

fn list(name: &'static str, value: &str) -> Slot<'static> {
    Slot::single(name, format!("('{}')", value.replace('\'', "''")))
}

const BY_UNIQUE_ID: &str = "$XDSDocumentEntryUniqueId";
const BY_UUID: &str = "$XDSDocumentEntryEntryUUID";

fn query(ask: Ask, knowledge: &Knowledge) -> Result<Body, String> {
    let made = &knowledge.made;
    let patient = || {
        let patient = knowledge.settings.patient.as_ref().ok_or("no patient is given: --patient or --nhs-number")?;
        Ok::<_, String>(text("$XDSDocumentEntryPatientId", &patient.to_cx()))
    };
    let approved = || list("$XDSDocumentEntryStatus", v::APPROVED);
    let unique_id = || list(BY_UNIQUE_ID, &made.unique_id);
    // By id a gateway is asked for its own community; wherever it can be helped no request goes on to others.
    let (kind, home, slots) = match ask {
        Ask::WithoutHome => (QueryKind::GetDocuments, None, vec![unique_id()]),
        Ask::UnknownHome => (QueryKind::GetDocuments, Some(made.home.clone()), vec![unique_id()]),
        Ask::NoPatient => (QueryKind::FindDocuments, known_home(knowledge).unwrap_or_default(), vec![approved()]),
        Ask::MadeUpPatient => {
            let patient = text("$XDSDocumentEntryPatientId", &made.patient);
            (QueryKind::FindDocuments, None, vec![patient, approved()])
        }
        Ask::PatientFind | Ask::PatientReferences => (QueryKind::FindDocuments, None, vec![patient()?, approved()]),
        Ask::PatientById => {
            let found = knowledge.found.as_ref().ok_or("no document was found that could be asked for")?;
            let home = found.home.as_ref().map(ToString::to_string);
            (QueryKind::GetDocuments, home, vec![list(BY_UUID, &found.uuid.to_string())])
        }
        Ask::NoId => (QueryKind::GetDocuments, known_home(knowledge)?, vec![]),
        Ask::TwoIds => {
            let uuid = list(BY_UUID, &Uuid::new_v4().urn().to_string());
            (QueryKind::GetDocuments, known_home(knowledge)?, vec![uuid, unique_id()])
        }
        Ask::BadSyntax => {
            let slot = Slot::single(BY_UNIQUE_ID, format!("('{}'", made.unique_id));
            (QueryKind::GetDocuments, known_home(knowledge)?, vec![slot])
        }
        Ask::References => (QueryKind::GetDocuments, known_home(knowledge)?, vec![unique_id()]),
        Ask::UnknownParameter => {
            let unknown = text("$CausewayProbeUnknown", "probe");
            (QueryKind::GetDocuments, known_home(knowledge)?, vec![unique_id(), unknown])
        }
        _ => (QueryKind::GetDocuments, known_home(knowledge).unwrap_or_default(), vec![unique_id()]),
    };
    let references = matches!(ask, Ask::References | Ask::PatientReferences);
    let id = if ask == Ask::UnknownQuery { made.query.clone() } else { QueryDefinition::of(kind).id.to_owned() };
    let has_home = home.is_some();
    let query = AdhocQuery {
        id,
        home,
        return_type: Some(if references { "ObjectRef" } else { "LeafClass" }.to_owned()),
        slots,
    };
    let mut bytes = Vec::new();
    ebrs::write_query(&mut bytes, &query);
    Ok(Body { bytes, has_home })
}

fn retrieve(ask: Ask, knowledge: &Knowledge) -> Result<Body, String> {
    let made = &knowledge.made;
    let known = if knowledge.is_gateway() { knowledge.home.clone() } else { None };
    let home = match ask {
        Ask::RetrieveWithoutHome => None,
        Ask::RetrieveUnknownHome => Some(HomeCommunityId::parse(&made.home).map_err(|error| error.to_string())?),
        Ask::RetrieveKnown | Ask::RetrieveWithoutId if knowledge.is_gateway() && known.is_none() => {
            return Err(no_home());
        }
        Ask::PatientRetrieve => knowledge.found.as_ref().and_then(|found| found.home.clone()),
        _ => known,
    };
    let has_home = home.is_some();
    if ask == Ask::RetrieveWithoutId {
        let home = home.map(|home| format!("<xds:HomeCommunityId>{home}</xds:HomeCommunityId>")).unwrap_or_default();
        let bytes = format!(
            "<xds:RetrieveDocumentSetRequest xmlns:xds=\"{}\"><xds:DocumentRequest>{home}\
             <xds:RepositoryUniqueId>{}</xds:RepositoryUniqueId></xds:DocumentRequest>\
             </xds:RetrieveDocumentSetRequest>",
            v::ns::XDSB,
            made.repository
        );
        return Ok(Body { bytes: bytes.into_bytes(), has_home });
    }
    let invalid = |error: crate::model::ids::InvalidId| error.to_string();
    let (repository, unique_id) = match ask {
        Ask::PatientRetrieve => {
            if knowledge.settings.service == Service::Registry && knowledge.settings.retrieve_uri.is_none() {
                return Err("its documents are elsewhere: give --retrieve-url".to_owned());
            }
            let found = knowledge.found.as_ref().ok_or("no document was found that could be compared")?;
            (found.repository.clone(), found.unique_id.clone())
        }
        Ask::RetrieveKnown => {
            let repository = knowledge.repository.clone().ok_or("no repository of its is known: give --repository")?;
            (repository, UniqueId::parse(&made.unique_id).map_err(invalid)?)
        }
        _ => (
            RepositoryUniqueId::parse(&made.repository).map_err(invalid)?,
            UniqueId::parse(&made.unique_id).map_err(invalid)?,
        ),
    };
    let mut bytes = Vec::new();
    xdsb::write_retrieve(&mut bytes, &[DocumentRequest { home, repository, unique_id }]);
    Ok(Body { bytes, has_home })
}
