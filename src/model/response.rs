//! What a transaction answers: status, errors, objects (ITI TF-3 §4.2.4).

use std::borrow::Cow;

use super::ids::HomeCommunityId;
use super::packed::PackedObject;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A code of ITI TF-3 Table 4.2.4.1-2 and its supplements; open, for what peers send.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct ErrorCode(Cow<'static, str>);

        #[allow(non_upper_case_globals)] // The standard's own spelling.
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed(stringify!($name)));)+

            /// All codes that we may emit.
            pub const ALL: &'static [&'static str] = &[$(stringify!($name)),+];
        }
    };
}

error_codes! {
    /// An entryUUID reference does not resolve.
    UnresolvedReferenceException,
    /// A document is not available, or not to be given.
    XDSDocumentUniqueIdError,
    /// SubmissionSet or Folder uniqueId already used.
    XDSDuplicateUniqueIdInRegistry,
    /// Warning: extra slots dropped.
    XDSExtraMetadataNotSaved,
    /// DocumentEntry without its document.
    XDSMissingDocument,
    /// Document without its DocumentEntry.
    XDSMissingDocumentMetadata,
    /// A homeCommunityId is required.
    XDSMissingHomeCommunityId,
    /// Same uniqueId, other hash.
    XDSNonIdenticalHash,
    /// Same uniqueId, other size.
    XDSNonIdenticalSize,
    /// Patient ids that must match do not.
    XDSPatientIdDoesNotMatch,
    /// Overload at the registry.
    XDSRegistryBusy,
    /// Overload at the repository.
    XDSRepositoryBusy,
    /// An association refers to a deprecated document.
    XDSRegistryDeprecatedDocumentError,
    /// A uniqueId twice in one message.
    XDSRegistryDuplicateUniqueIdInMessage,
    /// The same, found by a repository.
    XDSRepositoryDuplicateUniqueIdInMessage,
    /// Registry trouble without a finer code.
    XDSRegistryError,
    /// Repository trouble without a finer code.
    XDSRepositoryError,
    /// Metadata fault, found by the registry.
    XDSRegistryMetadataError,
    /// Metadata fault, found by the repository.
    XDSRepositoryMetadataError,
    /// The repository cannot reach the registry.
    XDSRegistryNotAvailable,
    /// The registry is out of space or memory.
    XDSRegistryOutOfResources,
    /// The repository is out of space or memory.
    XDSRepositoryOutOfResources,
    /// Several patients in one answer.
    XDSResultNotSinglePatient,
    /// A required query parameter is missing.
    XDSStoredQueryMissingParam,
    /// Too many values for a query parameter.
    XDSStoredQueryParamNumber,
    /// More results than the responder gives.
    XDSTooManyResults,
    /// A community could not be reached.
    XDSUnavailableCommunity,
    /// A homeCommunityId is not recognised.
    XDSUnknownCommunity,
    /// A patient id is not known.
    XDSUnknownPatientId,
    /// A repositoryUniqueId is not ours.
    XDSUnknownRepositoryId,
    /// A query id is not recognised.
    XDSUnknownStoredQuery,
    /// An update of metadata failed (Metadata Update).
    XDSMetadataUpdateError,
    /// Operations of one update are malformed, or exclude each other (Metadata Update).
    XDSMetadataUpdateOperationError,
    /// An update names an unknown logicalID, or not the latest version (Metadata Update).
    XDSMetadataVersionError,
    /// An update would tie objects of several patients together (Metadata Update).
    XDSPatientIDReconciliationError,
    /// What annotates a restricted update is missing or wrong (Restricted Metadata Update).
    XDSMetadataAnnotationError,
    /// A restricted update changes the uniqueId (Restricted Metadata Update).
    XDSMetadataIdentifierError,
    /// A restricted update is of another kind of object (Restricted Metadata Update).
    XDSObjectTypeError,
    /// A restricted update is not one of an existing object (Restricted Metadata Update).
    XDSInvalidRequestException,
    /// A restricted update changes what it may not (Restricted Metadata Update).
    UnmodifiableMetadataError,
    /// Something that stays refers to what is to be removed (Remove Metadata and Documents).
    ReferencesExistException,
    /// Something would stay that nothing refers to any more (Remove Metadata and Documents).
    XDSUnreferencedObjectException,
    /// A document cannot be removed (Remove Metadata and Documents).
    XDSRemoveDocumentsError,
}

impl ErrorCode {
    /// What a log or the audit trail may say of it: a peer's own code may be anything.
    pub fn without_their_words(&self) -> &str {
        match &self.0 {
            Cow::Borrowed(known) => known,
            Cow::Owned(_) => "a code of its own",
        }
    }

    /// A code as a peer sent it; a namespace before `#` is cut off, as some peers write one.
    pub fn received(text: &str) -> Self {
        let bare = text.rsplit('#').next().unwrap_or(text).trim();
        match Self::ALL.iter().find(|known| **known == bare) {
            Some(known) => Self(Cow::Borrowed(known)),
            None => Self(Cow::Owned(bare.to_owned())),
        }
    }

    /// The code's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How bad an entry of the error list is (ITI TF-3 §4.2.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The status stays Success.
    Warning,
    /// Something was not done.
    Error,
}

impl Severity {
    /// The URN.
    pub fn urn(self) -> &'static str {
        match self {
            Self::Warning => "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning",
            Self::Error => "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error",
        }
    }
}

/// One entry of a RegistryErrorList (ITI TF-3 §4.2.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    /// Which error.
    pub code: ErrorCode,
    /// What was wrong, where, and what to do about it.
    pub context: String,
    /// A homeCommunityId at gateways, the DocumentUniqueId at a repository, else where it was found.
    pub location: Option<String>,
    /// Error or Warning.
    pub severity: Severity,
}

impl RegistryError {
    /// An error.
    pub fn new(code: ErrorCode, context: impl Into<String>) -> Self {
        Self { code, context: context.into(), location: None, severity: Severity::Error }
    }

    /// The same, located.
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// The same, as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// The status of a response (ITI TF-3 §4.2.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseStatus {
    /// All of it.
    Success,
    /// Some of it.
    PartialSuccess,
    /// None of it.
    Failure,
}

impl ResponseStatus {
    /// The URN; note the two different trees.
    pub fn urn(self) -> &'static str {
        match self {
            Self::Success => "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success",
            Self::PartialSuccess => "urn:ihe:iti:2007:ResponseStatusType:PartialSuccess",
            Self::Failure => "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure",
        }
    }

    /// Reads the URN of a peer's answer.
    pub fn from_urn(text: &str) -> Option<Self> {
        [Self::Success, Self::PartialSuccess, Self::Failure].into_iter().find(|status| status.urn() == text.trim())
    }
}

/// Whether any entry is an Error rather than a Warning.
pub fn has_error(errors: &[RegistryError]) -> bool {
    errors.iter().any(|error| error.severity == Severity::Error)
}

/// The answer to a submission (`rs:RegistryResponse`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryResponse {
    /// Success or Failure.
    pub status: ResponseStatus,
    /// Errors and warnings.
    pub errors: Vec<RegistryError>,
}

impl RegistryResponse {
    /// Success unless an Error is among the entries: submissions know no partial success.
    pub fn from_errors(errors: Vec<RegistryError>) -> Self {
        let status = if has_error(&errors) { ResponseStatus::Failure } else { ResponseStatus::Success };
        Self { status, errors }
    }
}

/// The answer to a stored query (`query:AdhocQueryResponse`).
#[derive(Clone)]
pub struct QueryResponse {
    /// Success, PartialSuccess or Failure.
    pub status: ResponseStatus,
    /// Errors and warnings.
    pub errors: Vec<RegistryError>,
    /// What was found, in order; an object without a home of its own belongs to `home`.
    pub objects: Vec<PackedObject>,
    /// The homeCommunityId to stamp on objects that carry none.
    pub home: Option<HomeCommunityId>,
}

impl QueryResponse {
    /// All that was found.
    pub fn success(objects: Vec<PackedObject>) -> Self {
        Self { status: ResponseStatus::Success, errors: Vec::new(), objects, home: None }
    }

    /// Nothing but errors.
    pub fn failure(errors: Vec<RegistryError>) -> Self {
        Self { status: ResponseStatus::Failure, errors, objects: Vec::new(), home: None }
    }
}

impl std::fmt::Debug for QueryResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QueryResponse({:?}, {} objects, errors {:?})", self.status, self.objects.len(), self.errors)
    }
}
