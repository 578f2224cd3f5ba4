use super::*;

pub(super) fn subject() -> Subject {
    let nowhere = std::path::PathBuf::from("nowhere.pem");
    Subject {
        uri: Uri::from_static("https://peer.example:8443/services/responding-gateway"),
        service: Service::RespondingGateway,
        files: TlsFiles { certificate: nowhere.clone(), key: nowhere.clone(), client_ca: nowhere, crl: None },
        security: None,
        home: None,
        timeout: Duration::from_millis(500),
        only: None,
        profile: PeerProfile::default(),
        configured: Configured::default(),
    }
}
