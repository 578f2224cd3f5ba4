//! From sections to settings: every rule about what a configuration may say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use jiff::Timestamp;

use super::meant::{PeerSpots, Spots, Together};
use super::raw::{Findings, Origin, Section, Spot, Text};
use super::{
    Asynchronous, Audit, Codes, Community, Config, DEFAULT_ADMIN, Discovery, DocumentStorage, Federation,
    IdentifierCheck, Limits, Listener, Log, LogFormat, MetadataStorage, NHS_NUMBER_DOMAIN, Node, PatientDomain,
    Patients, Peer, PeerExchange, PeerKind, PeerPatientId, PeerState, Profile, Scope, Service, States, Storage,
    TargetIn, UnknownPatients, units,
};
use crate::model::ids::{HomeCommunityId, InvalidId, Oid, PatientId, RepositoryUniqueId};
use crate::transport::callbacks::Callback;
use crate::transport::peer::profile::PeerProfile;
use crate::transport::pipeline::posted::ANSWERED_AT;
use crate::transport::tls::TlsFiles;
use crate::validate::{Mode, OTHER_SOURCES, SourceModes};

/// A list of known patients larger than this belongs into an identity feed.
const MAX_KNOWN_FILE_BYTES: u64 = 64 << 20;
/// A list with more wrong lines than this is the wrong file.
pub(super) const MAX_KNOWN_FINDINGS: usize = 20;
/// Root of the identifiers that are for examples only (ITU-T X.660 A.3 and its registration).
const EXAMPLE_ARC: &str = "2.999";

pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {}", units::exact_size(limit))));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

pub(super) fn is_example(oid: &str) -> bool {
    oid.strip_prefix(EXAMPLE_ARC).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Turns sections into settings. Where something is missing or wrong a finding is made and the
/// reading goes on; a setting without which there is nothing to go on with becomes `None`.
pub(super) struct Reader<'f> {
    pub(super) base: &'f Path,
    pub(super) findings: &'f Findings,
}

impl Reader<'_> {
    pub(super) fn config(&self, mut root: Section<'_>) -> Option<Config> {
        let community = self.community(root.section("community"));
        let profile = community.as_ref().map_or(Profile::Demo, |community| community.profile);
        let patients = self.patients(root.section("patients"), profile);
        let codes = self.codes(root.section("codes"));
        let validation_spot = root.spot("validation");
        let validation = self.validation(root.section("validation"));
        let storage = self.storage(root.section("storage"), profile);
        let listeners = self.listeners(&mut root);
        let admin = self.admin(root.section("admin"), &listeners);
        let first = listeners.first().map(|listener| &listener.tls);
        let client = self.client(root.section("client"), first);
        let asynchronous = root.section("asynchronous");
        let profiles = self.profiles(&mut root);
        let locator = root.section("locator");
        let (locator_spot, wait) = (locator.own_spot(), locator.spot("wait"));
        let locator = self.locator(locator);
        let (peers, peer_spots) =
            self.peers(&mut root, profile, community.as_ref(), asynchronous.has("address"), &profiles);
        let (initiating, responding) = (root.section("initiating_gateway"), root.section("responding_gateway"));
        let gateways = self.gateway_rules(initiating, responding, &peers);
        let asynchronous = self.asynchronous(asynchronous, &listeners);
        let federation = self.federation(root.section("federation"));
        let discovered = root.section("discovery");
        let (deferred, revocation) = (discovered.spot("deferred"), discovered.spot("revocation"));
        let discovery = discovery(discovered);
        let registry = self.registry(root.section("registry"), &listeners);
        if registry.is_some() && validation != SourceModes::default() {
            self.findings.add(
                &validation_spot,
                "the registry that is registered with judges, in its own modes",
                "remove [validation]; at that registry, name this repository's certificate",
            );
        }
        let home = community.as_ref().map(|community| community.home_community_id.oid());
        let audit = self.audit(root.section("audit"), home.unwrap_or_default());
        let log = self.log(root.section("log"));
        let telemetry = self.telemetry(root.section("telemetry"), profile);
        let limits = self.limits(root.section("limits"));
        root.finish();
        let together = Together {
            peers: &peers,
            listeners: &listeners,
            client: client.as_ref(),
            locator: &locator,
            discovery,
            takes_answers: !asynchronous.callbacks.is_empty() || peers.iter().any(|peer| peer.callback.is_some()),
            only_known: gateways.only_known,
            limits: &limits,
        };
        let spots = Spots { peers: peer_spots, locator: locator_spot, wait, deferred, revocation };
        together.judge(&spots, self.findings);
        Some(Config {
            file: None,
            community: community?,
            patients,
            codes,
            validation,
            storage,
            listeners,
            admin,
            client: client?,
            peers,
            federation,
            locator,
            gateways,
            asynchronous,
            discovery,
            registry,
            audit,
            log,
            telemetry,
            limits,
            notes: Vec::new(),
        })
    }

    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    pub(super) fn file(&self, text: Option<Text>) -> Option<PathBuf> {
        let text = text?;
        if text.value.is_empty() {
            self.findings.add(&text.spot, "the path is empty", "write a path");
            return None;
        }
        Some(self.path(&text.value))
    }

    fn id<T>(&self, text: Option<Text>, parse: impl Fn(&str) -> Result<T, InvalidId>, example: &str) -> Option<T> {
        let text = text?;
        match parse(&text.value) {
            Ok(id) => Some(id),
            Err(error) => {
                let fix = format!("write it like {example}");
                self.findings.add(&text.spot, error.to_string(), fix);
                None
            }
        }
    }

    /// The production profile's rule about example identifiers.
    fn not_an_example(&self, spot: &Spot, oid: &str, profile: Profile) {
        if profile == Profile::Production && is_example(oid) {
            self.findings.add(
                spot,
                "identifiers below 2.999 are examples, and profile is production",
                "put in the identifier that was assigned to you, or set community.profile = \"demo\"",
            );
        }
    }

    fn community(&self, mut section: Section<'_>) -> Option<Community> {
        const PROFILES: &[(&str, Profile)] = &[("demo", Profile::Demo), ("production", Profile::Production)];
        let profile = section.choice("profile", PROFILES, Profile::Demo);
        let name = section.required("name", "London Care Record");
        if let Some(name) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
            self.findings.add(&name.spot, "the name is empty", "write the community's name");
        }
        let (home_spot, repository_spot) = (section.spot("home_community_id"), section.spot("repository_unique_id"));
        let home = section.required("home_community_id", "urn:oid:1.2.3.4");
        let home = self.id(home, HomeCommunityId::parse, "urn:oid:1.2.3.4");
        let repository = section.required("repository_unique_id", "1.2.3.4.5");
        let repository = self.id(repository, RepositoryUniqueId::parse, "1.2.3.4.5, without urn:oid:");
        if let Some(home) = &home {
            self.not_an_example(&home_spot, home.oid(), profile);
        }
        if let Some(repository) = &repository {
            self.not_an_example(&repository_spot, repository.as_str(), profile);
        }
        section.finish();
        Some(Community { name: name?.value, home_community_id: home?, repository_unique_id: repository?, profile })
    }

    fn patients(&self, mut section: Section<'_>, profile: Profile) -> Patients {
        const UNKNOWN: &[(&str, UnknownPatients)] =
            &[("accept", UnknownPatients::Accept), ("reject", UnknownPatients::Reject)];
        const CHECKS: &[(&str, IdentifierCheck)] =
            &[("none", IdentifierCheck::None), ("nhs-number", IdentifierCheck::NhsNumber)];
        let mut domains: Vec<PatientDomain> = Vec::new();
        for mut domain in section.tables("domains", &format!("{{ oid = \"{NHS_NUMBER_DOMAIN}\" }}")) {
            let spot = domain.spot("oid");
            let oid = domain.required("oid", NHS_NUMBER_DOMAIN);
            let oid = self.id(oid, Oid::parse, NHS_NUMBER_DOMAIN);
            let check = domain.choice("check", CHECKS, IdentifierCheck::None);
            domain.finish();
            let Some(oid) = oid else { continue };
            self.not_an_example(&spot, oid.as_str(), profile);
            if domains.iter().any(|other| other.oid == oid) {
                self.findings.add(&spot, "the domain is there twice", "remove one of them");
                continue;
            }
            domains.push(PatientDomain { oid, check });
        }
        let unknown = section.choice("unknown", UNKNOWN, UnknownPatients::Accept);
        let mut patients = Patients { domains, unknown, known: Vec::new(), people: None };
        for text in section.texts("known") {
            match known_patient(&text.value, &patients.domains, profile) {
                Ok(id) => patients.known.push(id),
                Err(what) => {
                    let fix = "write id^^^&OID&ISO, of one of the domains";
                    self.findings.add(&text.spot, what, fix);
                }
            }
        }
        if let Some(file) = section.text("known_file") {
            self.known_file(&file, &mut patients, profile);
        }
        if let Some(file) = section.text("directory") {
            patients.people = self.people(&file, &patients, profile);
        }
        section.finish();
        patients
    }

    fn known_file(&self, file: &Text, patients: &mut Patients, profile: Profile) {
        let text = match read_bounded(&self.path(&file.value), MAX_KNOWN_FILE_BYTES) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("{} cannot be read: {error}", file.value);
                self.findings.add(&file.spot, what, "give a file with one id^^^&OID&ISO per line");
                return;
            }
        };
        let mut wrong = 0;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match known_patient(line, &patients.domains, profile) {
                Ok(id) => patients.known.push(id),
                Err(what) => {
                    wrong += 1;
                    if wrong <= MAX_KNOWN_FINDINGS {
                        let what = format!("line {number} of {}: {what}", file.value);
                        self.findings.add(&file.spot, what, "one id^^^&OID&ISO per line");
                    }
                }
            }
        }
        if wrong > MAX_KNOWN_FINDINGS {
            let what = format!("{} lines of {} are wrong in all", wrong, file.value);
            self.findings.add(&file.spot, what, "check that the path names the right file");
        }
    }

    fn codes(&self, mut section: Section<'_>) -> Option<Codes> {
        let spot = section.spot("enforce");
        let written = section.has("enforce");
        let enforce = section.boolean("enforce", true);
        let file = section.text("file");
        if file.is_none() && written && enforce {
            self.findings.add(
                &spot,
                "codes are to be enforced, but there is no code file",
                "add file = \"codes.xml\", or write enforce = false",
            );
        }
        section.finish();
        Some(Codes { file: self.file(file)?, enforce })
    }

    fn validation(&self, mut section: Section<'_>) -> SourceModes {
        const MODES: [Mode; 3] = [Mode::Strict, Mode::Lenient, Mode::Shadow];
        let others = section.choice("mode", &MODES.map(|mode| (mode.name(), mode)), Mode::Strict);
        let mut named: BTreeMap<String, Mode> = BTreeMap::new();
        for mode in MODES {
            for source in section.texts(mode.name()) {
                if ["", "*", OTHER_SOURCES].contains(&source.value.as_str()) {
                    let fix = format!("for all that are in no list write mode = \"{}\"", mode.name());
                    self.findings.add(&source.spot, "sources are named by the common name of their certificate", fix);
                } else if self.is_common_name(&source)
                    && let Some(other) = named.insert(source.value, mode)
                {
                    let what = format!("the source is in the list {} already", other.name());
                    self.findings.add(&source.spot, what, "leave it in one of the lists");
                }
            }
        }
        section.finish();
        SourceModes { others, named }
    }

    fn storage(&self, mut section: Section<'_>, profile: Profile) -> Storage {
        let metadata = section.text("metadata");
        let documents = section.text("documents");
        let cache = section.size("cache", 128 << 20, 1 << 20, 1 << 40);
        let (metadata_spot, documents_spot) = (
            metadata.as_ref().map_or_else(|| section.own_spot(), |text| text.spot.clone()),
            documents.as_ref().map_or_else(|| section.own_spot(), |text| text.spot.clone()),
        );
        section.finish();
        let storage = Storage {
            metadata: match self.place(metadata, &["sled", "fjall"], "postgres", "data/registry") {
                Some(("fjall", path)) => MetadataStorage::Fjall(path),
                Some((_, path)) => MetadataStorage::Sled(path),
                None => MetadataStorage::Memory,
            },
            documents: match self.place(documents, &["file"], "s3", "data/documents") {
                Some((_, path)) => DocumentStorage::Files(path),
                None => DocumentStorage::Memory,
            },
            cache,
        };
        let (in_memory, spot) = (
            [storage.metadata == MetadataStorage::Memory, storage.documents == DocumentStorage::Memory],
            [&metadata_spot, &documents_spot],
        );
        if in_memory == [false, true] {
            self.findings.add(
                &documents_spot,
                "after a restart the registry would name documents that are gone",
                "write documents = \"file:data/documents\", or put metadata into memory as well",
            );
        }
        if profile == Profile::Production {
            for (_, spot) in in_memory.iter().zip(spot).filter(|(in_memory, _)| **in_memory) {
                self.findings.add(
                    spot,
                    "memory is gone with the process, and profile is production",
                    "write metadata = \"sled:data/registry\" and documents = \"file:data/documents\"",
                );
            }
        }
        if let (Some(one), DocumentStorage::Files(other)) = (storage.metadata.folder(), &storage.documents)
            && one == other
        {
            self.findings.add(
                &documents_spot,
                "metadata and documents have the same folder",
                "give each its own folder",
            );
        }
        storage
    }

    /// The kind and the folder of a store, or `None` for memory. The first kind is the default one.
    fn place<'s>(
        &self,
        text: Option<Text>,
        kinds: &[&'s str],
        later: &str,
        default: &str,
    ) -> Option<(&'s str, PathBuf)> {
        let usual = kinds.first().copied().unwrap_or_default();
        let Some(text) = text else {
            return Some((usual, self.path(default)));
        };
        let folders: Vec<_> = kinds.iter().map(|kind| format!("\"{kind}:{default}\"")).collect();
        let advice = format!("write {}, or \"memory:\" for a trial", folders.join(" or "));
        let (found, rest) = text.value.split_once(':').unwrap_or(("", &text.value));
        if let Some(kind) = kinds.iter().copied().find(|kind| *kind == found) {
            if rest.is_empty() {
                self.findings.add(&text.spot, format!("a folder follows {kind}:"), advice);
                return Some((kind, self.path(default)));
            }
            return Some((kind, self.path(rest)));
        }
        match found {
            "memory" if rest.is_empty() => return None,
            found if found.starts_with(later) => {
                let what = format!("{found} is not yet supported by this version");
                self.findings.add(&text.spot, what, advice);
            }
            _ => {
                let what = "it says neither memory: nor where on disk";
                self.findings.add(&text.spot, what, advice);
            }
        }
        Some((usual, self.path(default)))
    }

    fn listeners(&self, root: &mut Section<'_>) -> Vec<Listener> {
        let written = root.has("listener");
        let mut listeners: Vec<Listener> = Vec::new();
        for mut section in root.sections("listener") {
            let bind = section.required("bind", "127.0.0.1:8443");
            let spot = bind.as_ref().map_or_else(|| section.own_spot(), |text| text.spot.clone());
            let bind = self.address(bind);
            let services = self.services(&mut section);
            let names = section.texts("names").into_iter().map(|text| text.value).collect();
            let administrators = self.common_names(&mut section, "administrators");
            let many_patients = self.common_names(&mut section, "many_patients");
            let emergency_callers = self.emergency(&mut section, "emergency_callers");
            let emergency_claims = self.emergency(&mut section, "emergency_claims");
            let providers_spot = section.spot("providers");
            let providers = self.common_names(&mut section, "providers");
            if !providers.is_empty() && !services.contains(&Service::RespondingGateway) {
                let fix = "add \"responding-gateway\" to its services, or remove it";
                self.findings.note(&providers_spot, "nothing is put there: gateways call the responding-gateway", fix);
            }
            let tls = self.listener_tls(&mut section);
            section.finish();
            let (Some(bind), Some(tls)) = (bind, tls) else { continue };
            if bind.port() != 0 && listeners.iter().any(|other| other.bind == bind) {
                self.findings.add(&spot, format!("{bind} has a listener already"), "take another port");
            }
            listeners.push(Listener {
                bind,
                tls,
                services,
                names,
                administrators,
                many_patients,
                emergency_callers,
                emergency_claims,
                providers,
            });
        }
        if !written {
            let spot = Spot { key: "listener".to_owned(), origin: Origin::Absent };
            self.findings.add(
                &spot,
                "there is no listener",
                "add [[listener]] with bind = \"127.0.0.1:8443\" and tls = { certificate = \"certs/server.pem\", key = \"certs/server.key\", client_ca = \"certs/ca.pem\" }",
            );
        }
        listeners
    }

    fn address(&self, text: Option<Text>) -> Option<SocketAddr> {
        let text = text?;
        let parsed = text.value.parse();
        if parsed.is_err() {
            let what = format!("\"{}\" is not an address with a port", text.value);
            self.findings.add(&text.spot, what, "write it like 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443");
        }
        parsed.ok()
    }

    fn services(&self, section: &mut Section<'_>) -> Vec<Service> {
        let spot = section.spot("services");
        if !section.has("services") {
            // Taking it makes it a known key all the same.
            section.texts("services");
            return Service::ALL.to_vec();
        }
        let is_empty = section.is_empty_list("services");
        let texts = section.texts("services");
        if is_empty {
            let fix = "name some, or remove the key for all";
            self.findings.add(&spot, "no service is served here", fix);
        }
        let mut services = Vec::new();
        for text in texts {
            match Service::ALL.iter().find(|service| service.name() == text.value) {
                Some(service) if !services.contains(service) => services.push(*service),
                Some(_) => {}
                None => {
                    let all = Service::ALL.map(Service::name).join(", ");
                    let what = format!("there is no service \"{}\"", text.value);
                    self.findings.add(&text.spot, what, format!("possible here: {all}"));
                }
            }
        }
        services
    }

    fn listener_tls(&self, section: &mut Section<'_>) -> Option<TlsFiles> {
        const EXAMPLE: &str = "add tls = { certificate = \"certs/server.pem\", key = \"certs/server.key\", client_ca = \"certs/ca.pem\" }";
        if !section.has("tls") {
            let spot = section.spot("tls");
            self.findings.add(&spot, "every listener needs TLS with client certificates", EXAMPLE);
            section.section("tls");
            return None;
        }
        let mut tls = section.section("tls");
        let profile = tls.text("profile");
        match tls.text("engine") {
            Some(engine) if engine.value != "rustls" => {
                let what = format!("the engine \"{}\" is not yet supported by this version", engine.value);
                self.findings.add(&engine.spot, what, "remove engine and profile: TLS 1.2 and 1.3 by rustls");
            }
            _ => {
                if let Some(profile) = profile {
                    self.findings.add(
                        &profile.spot,
                        "a TLS profile is for the legacy engine, which this version has not",
                        "remove it: TLS 1.2 and 1.3 are offered",
                    );
                }
            }
        }
        let files = self.tls_files(&mut tls, "client_ca", "server");
        tls.finish();
        files
    }

    fn tls_files(&self, section: &mut Section<'_>, authorities: &'static str, whose: &str) -> Option<TlsFiles> {
        let certificate = section.required("certificate", &format!("certs/{whose}.pem"));
        let key = section.required("key", &format!("certs/{whose}.key"));
        let client_ca = section.required(authorities, "certs/ca.pem");
        let crl = section.text("crl");
        let (certificate, key, client_ca) = (self.file(certificate), self.file(key), self.file(client_ca));
        let crl = self.file(crl);
        Some(TlsFiles { certificate: certificate?, key: key?, client_ca: client_ca?, crl })
    }

    fn admin(&self, mut section: Section<'_>, listeners: &[Listener]) -> Option<SocketAddr> {
        let bind = section.text("bind");
        section.finish();
        let Some(bind) = bind else {
            return Some(DEFAULT_ADMIN);
        };
        if bind.value == "off" {
            return None;
        }
        let spot = bind.spot.clone();
        let address = self.address(Some(bind))?;
        if address.port() != 0 && listeners.iter().any(|listener| listener.bind == address) {
            self.findings.add(&spot, format!("{address} is a listener's"), "take another port");
        }
        Some(address)
    }

    fn client(&self, mut section: Section<'_>, listener: Option<&TlsFiles>) -> Option<TlsFiles> {
        let keys = ["certificate", "key", "ca", "crl"];
        let files = if keys.iter().any(|key| section.has(key)) {
            self.tls_files(&mut section, "ca", "client")
        } else {
            for key in keys {
                section.text(key);
            }
            listener.cloned()
        };
        section.finish();
        files
    }

    fn peers(
        &self,
        root: &mut Section<'_>,
        profile: Profile,
        ours: Option<&Community>,
        has_address: bool,
        profiles: &[PeerProfile],
    ) -> (Vec<Peer>, Vec<PeerSpots>) {
        let (mut peers, mut all_spots): (Vec<Peer>, Vec<PeerSpots>) = Default::default();
        for section in root.sections("peer") {
            let (home_spot, exchange_spot) = (section.spot("home_community_id"), section.spot("exchange"));
            let spots = PeerSpots::of(&section);
            let Some(peer) = self.peer(section, profiles) else { continue };
            self.not_another_ones(&spots.certificates, &peer, &peers);
            if peer.exchange != PeerExchange::Synchronous && !has_address {
                self.findings.add(
                    &exchange_spot,
                    "it cannot send its answers to us without an address of ours",
                    "add [asynchronous] with address = \"https://us.example:8443/services/initiating-gateway\"",
                );
            }
            self.not_an_example(&home_spot, peer.home_community_id.oid(), profile);
            if ours.is_some_and(|ours| ours.home_community_id == peer.home_community_id) {
                self.findings.add(
                    &home_spot,
                    "this is our own home_community_id",
                    "put in the peer's; a broker does not ask itself",
                );
            }
            let has = |other: &Peer, home: &HomeCommunityId| {
                other.home_community_id == *home || other.nodes.iter().any(|node| node.home_community_id == *home)
            };
            if let Some(other) = peers.iter().find(|other| has(other, &peer.home_community_id)) {
                let itself = other.home_community_id == peer.home_community_id;
                let whose = if itself { "" } else { "a node of " };
                let what = format!("{whose}\"{}\" has the same home_community_id", other.name);
                self.findings.add(&home_spot, what, "every community has its own; remove or correct one");
            }
            for (number, node) in peer.nodes.iter().enumerate() {
                let home = &node.home_community_id;
                let ours = ours.is_some_and(|ours| ours.home_community_id == *home);
                let twice = peer.nodes.iter().take(number).any(|earlier| earlier.home_community_id == *home);
                if ours || twice || *home == peer.home_community_id || peers.iter().any(|other| has(other, home)) {
                    let what = format!("node \"{}\" has a home_community_id that another community has", node.name);
                    self.findings.add(&home_spot, what, "every community has its own; remove or correct one");
                }
            }
            peers.push(peer);
            all_spots.push(spots);
        }
        self.located(&peers, &all_spots);
        (peers, all_spots)
    }

    /// A day, or a moment, in universal time.
    fn moment(&self, text: Option<Text>) -> Option<Timestamp> {
        let text = text?;
        let whole = if text.value.len() == 10 { format!("{}T00:00:00Z", text.value) } else { text.value.clone() };
        match whole.parse() {
            Ok(moment) => Some(moment),
            Err(_) => {
                let fix = "write a day such as \"2026-12-01\", or a moment such as \"2026-12-01T08:00:00Z\"";
                self.findings.add(&text.spot, format!("\"{}\" is no day", text.value), fix);
                None
            }
        }
    }

    /// `state`, `since` and `changes` of a peer.
    fn states(&self, section: &mut Section<'_>) -> States {
        const STATES: &[(&str, PeerState)] = &[
            ("planned", PeerState::Planned),
            ("connecting", PeerState::Connecting),
            ("live", PeerState::Live),
            ("suspended", PeerState::Suspended),
            ("closed", PeerState::Closed),
        ];
        let first = section.choice("state", STATES, PeerState::Live);
        let since = self.moment(section.text("since"));
        let mut changes: Vec<(Timestamp, PeerState)> = Vec::new();
        for mut change in section.tables("changes", "{ from = \"2026-12-01\", state = \"live\" }") {
            let spot = change.spot("from");
            let from = change.required("from", "2026-12-01");
            let from = self.moment(from);
            // It goes live by nobody's forgetting to say what it becomes.
            let is_stated = change.has("state");
            if !is_stated {
                change.required("state", "live");
            }
            let state = change.choice("state", STATES, PeerState::Live);
            change.finish();
            let Some(from) = from.filter(|_| is_stated) else { continue };
            if changes.last().is_some_and(|(before, _)| *before >= from) {
                self.findings.add(&spot, "changes stand in the order of their days", "put the earlier one first");
            }
            changes.push((from, state));
        }
        States { first, since, changes }
    }

    /// `nodes` of a peer.
    fn nodes(&self, section: &mut Section<'_>) -> Vec<Node> {
        let mut nodes = Vec::new();
        for mut node in section.tables("nodes", "{ name = \"Barts\", home_community_id = \"urn:oid:1.2.3.4.1\" }") {
            let name = node.required("name", "Barts");
            let home = node.required("home_community_id", "urn:oid:1.2.3.4.1");
            let home = self.id(home, HomeCommunityId::parse, "urn:oid:1.2.3.4.1");
            node.finish();
            if let (Some(name), Some(home_community_id)) = (name, home) {
                nodes.push(Node { name: name.value, home_community_id });
            }
        }
        nodes
    }

    fn peer(&self, mut section: Section<'_>, profiles: &[PeerProfile]) -> Option<Peer> {
        const SCOPES: &[(&str, Scope)] = &[("member", Scope::Member), ("neighbour", Scope::Neighbour)];
        const KINDS: &[(&str, PeerKind)] = &[
            ("full", PeerKind::Full),
            ("link-only", PeerKind::LinkOnly),
            ("consume-only", PeerKind::ConsumeOnly),
            ("publish-only", PeerKind::PublishOnly),
            ("hub", PeerKind::Hub),
        ];
        const EXCHANGES: &[(&str, PeerExchange)] = &[
            ("synchronous", PeerExchange::Synchronous),
            ("asynchronous", PeerExchange::Asynchronous),
            ("deferred", PeerExchange::Deferred),
        ];
        const TARGETS: &[(&str, TargetIn)] =
            &[("both", TargetIn::Both), ("header", TargetIn::Header), ("slot", TargetIn::Slot)];
        let name = section.required("name", "Hertfordshire and West Essex");
        let home = section.required("home_community_id", "urn:oid:1.2.3.4");
        let home = self.id(home, HomeCommunityId::parse, "urn:oid:1.2.3.4");
        let scope = section.choice("scope", SCOPES, Scope::Neighbour);
        let kind = section.choice("kind", KINDS, PeerKind::Full);
        let states = self.states(&mut section);
        let nodes = self.nodes(&mut section);
        let is_asked = |state| matches!(state, PeerState::Live | PeerState::Connecting);
        let ever = is_asked(states.first) || states.changes.iter().any(|(_, state)| is_asked(*state));
        let needs_url = kind.serves() && ever;
        let (responding_gateway, further_gateways) = self.gateways(&mut section, needs_url);
        let patient_id = self.peer_patient_id(section.text("patient_id"));
        let discovery_spot = section.spot("patient_discovery");
        let discovery = section.text("patient_discovery");
        if discovery.is_some() && patient_id != PeerPatientId::Discover {
            let fix = "write patient_id = \"discover\", or remove it";
            self.findings.add(&discovery_spot, "nothing is asked there unless patient_id is \"discover\"", fix);
        }
        let patient_discovery = self.url(discovery);
        let feed_spot = section.spot("feed");
        let feed = section.boolean("feed", false);
        if feed && patient_id != PeerPatientId::Discover {
            let fix = "write patient_id = \"discover\", or remove it";
            self.findings.add(&feed_spot, "it is told with the question for a patient, which is not asked", fix);
        }
        let (second, hour) = (Duration::from_millis(100), Duration::from_secs(3600));
        let timeout = section.duration("timeout", Duration::from_secs(8), second, hour);
        let max_in_flight = section.count("max_in_flight", 32, 1, 100_000);
        let ca = section.text("ca");
        let ca = self.file(ca);
        let callback = section.text("callback").and_then(|text| self.callback(&text));
        let exchange_spot = section.spot("exchange");
        let exchange = section.choice("exchange", EXCHANGES, PeerExchange::Synchronous);
        let profile = self.peer_profile(&mut section, profiles, exchange);
        let locator = section.boolean("locator", false);
        let located_by = section.text("located_by");
        let located_by = self.id(located_by, HomeCommunityId::parse, "urn:oid:1.2.3.4");
        let certificates = self.certificates(&mut section);
        let shares = self.shares(&mut section, &certificates);
        let target_in = section.choice("target_in", TARGETS, TargetIn::Both);
        if exchange == PeerExchange::Deferred && patient_id != PeerPatientId::Discover {
            let fix = "write patient_id = \"discover\", or another exchange";
            self.findings.add(&exchange_spot, "nothing is asked that is answered later", fix);
        }
        section.finish();
        Some(Peer {
            name: name?.value,
            home_community_id: home?,
            scope,
            kind,
            states,
            nodes,
            responding_gateway,
            further_gateways,
            patient_id,
            feed,
            patient_discovery,
            timeout,
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            ca,
            callback,
            exchange,
            profile,
            locator,
            located_by,
            certificates,
            shares,
            target_in,
        })
    }

    fn federation(&self, mut section: Section<'_>) -> Federation {
        let routes_in_slots = section.boolean("routes_in_slots", false);
        section.finish();
        Federation { routes_in_slots }
    }

    fn asynchronous(&self, mut section: Section<'_>, listeners: &[Listener]) -> Asynchronous {
        let callbacks = section.texts("callbacks").iter().filter_map(|text| self.callback(text)).collect();
        let address = section.text("address");
        let spot = section.spot("address");
        let spot = address.as_ref().map_or(spot, |text| text.spot.clone());
        section.finish();
        let address = self.url(address);
        let served = |listener: &Listener| listener.services.contains(&ANSWERED_AT);
        if let Some(address) = &address {
            if Service::from_path(address.path()) != Some(ANSWERED_AT) || address.query().is_some() {
                let fix = format!("write it like https://us.example:8443/services/{}", ANSWERED_AT.name());
                self.findings.add(&spot, "answers of peers are taken by the initiating gateway, at its path", fix);
            } else if !listeners.is_empty() && !listeners.iter().any(served) {
                let fix = format!("add \"{}\" to the services of a [[listener]]", ANSWERED_AT.name());
                self.findings.add(&spot, "no listener serves the initiating gateway, where answers come", fix);
            }
        }
        Asynchronous { callbacks, address }
    }

    fn callback(&self, text: &Text) -> Option<Callback> {
        let fix = "write it like https://peer.example:8443/services/initiating-gateway: all below it is allowed too";
        Callback::parse(&text.value).map_err(|error| self.findings.add(&text.spot, error.to_string(), fix)).ok()
    }

    pub(super) fn url(&self, text: Option<Text>) -> Option<Uri> {
        let text = text?;
        let fix = "write it like https://peer.example:8443/services/responding-gateway";
        let uri: Uri = match text.value.parse() {
            Ok(uri) => uri,
            Err(error) => {
                self.findings.add(&text.spot, format!("this is not a URL: {error}"), fix);
                return None;
            }
        };
        let what = if uri.scheme_str() != Some("https") {
            "other systems are called over mutual TLS only: the URL begins with https://"
        } else if uri.host().is_none_or(str::is_empty) {
            "there is no host in the URL"
        } else if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            "a URL with a user name in it is not for this place"
        } else {
            return Some(uri);
        };
        self.findings.add(&text.spot, what, fix);
        None
    }

    fn peer_patient_id(&self, text: Option<Text>) -> PeerPatientId {
        let Some(text) = text else {
            return PeerPatientId::SameDomain;
        };
        let fix = "write \"same-domain\", \"discover\" or \"domain:1.2.3.4\"";
        if text.value == "same-domain" {
            return PeerPatientId::SameDomain;
        }
        if text.value == "discover" {
            return PeerPatientId::Discover;
        }
        if let Some(oid) = text.value.strip_prefix("domain:") {
            match Oid::parse(oid) {
                Ok(oid) => return PeerPatientId::Domain(oid),
                Err(error) => self.findings.add(&text.spot, error.to_string(), fix),
            }
        } else {
            self.findings.add(&text.spot, format!("\"{}\" is not one of its values", text.value), fix);
        }
        PeerPatientId::SameDomain
    }

    fn registry(&self, mut section: Section<'_>, listeners: &[Listener]) -> Option<Uri> {
        let url = section.text("url");
        section.finish();
        let others = listeners.iter().flat_map(|listener| &listener.services).any(|s| *s != Service::Repository);
        if let Some(url) = &url
            && others
        {
            // They answer from our own registry, which would stay empty: "no documents" would be a lie.
            let what = "with a registry elsewhere this broker is a repository, and nothing else";
            self.findings.add(&url.spot, what, "write services = [\"repository\"] in every [[listener]]");
        }
        self.url(url)
    }

    fn audit(&self, mut section: Section<'_>, home_oid: &str) -> Audit {
        let dir = section.text("dir");
        let dir = self.file(dir).unwrap_or_else(|| self.path("data/audit"));
        let source_id = section.text("source_id").map_or_else(|| "causeway".to_owned(), |text| text.value);
        let site_id = section.text("site_id").map_or_else(|| home_oid.to_owned(), |text| text.value);
        section.finish();
        Audit { dir, source_id, site_id }
    }

    fn log(&self, mut section: Section<'_>) -> Log {
        const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
        let default = Log::default();
        let format = section.choice("format", FORMATS, default.format);
        let level = section.text("level");
        section.finish();
        if let Some(text) = &level
            && tracing_subscriber::EnvFilter::try_new(&text.value).is_err()
        {
            let what = format!("\"{}\" is not understood", text.value);
            let fix = "write error, warn, info, debug or trace, or as info,causeway=debug";
            self.findings.add(&text.spot, what, fix);
        }
        Log { format, level: level.map_or(default.level, |text| text.value) }
    }

    fn limits(&self, mut section: Section<'_>) -> Limits {
        let spot = section.spot("document_bytes");
        let limits = Limits::read(&mut section);
        section.finish();
        if limits.document_bytes > limits.submission_bytes {
            self.findings.add(
                &spot,
                "one document may be larger than a whole submission",
                "raise submission_bytes to at least document_bytes",
            );
        }
        limits
    }
}

fn discovery(mut section: Section<'_>) -> Discovery {
    let discovery =
        Discovery { deferred: section.boolean("deferred", false), revocation: section.boolean("revocation", false) };
    section.finish();
    discovery
}

/// Reads a known patient's id; what is wrong is told without the id.
pub(super) fn known_patient(text: &str, domains: &[PatientDomain], profile: Profile) -> Result<PatientId, String> {
    let id = PatientId::parse(text).map_err(|error| error.to_string())?;
    let authority = id.authority().as_str();
    let domain = domains.iter().find(|domain| domain.oid == *id.authority());
    if domain.is_none() && !domains.is_empty() {
        return Err(format!("the domain {authority} is not one of patients.domains"));
    }
    if profile == Profile::Production && is_example(authority) {
        return Err("identifiers below 2.999 are examples, and profile is production".to_owned());
    }
    let check = domain.map_or(
        if authority == NHS_NUMBER_DOMAIN { IdentifierCheck::NhsNumber } else { IdentifierCheck::None },
        |domain| domain.check,
    );
    check.judge(id.id(), profile)?;
    Ok(id)
}
