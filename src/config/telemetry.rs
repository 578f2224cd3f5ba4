//! `[telemetry]`: where traces go.

use std::net::IpAddr;

use http::Uri;
use http::uri::PathAndQuery;

use super::raw::{Section, Text};
use super::read::Reader;
use super::{Profile, Telemetry};

/// Where a collector takes spans, unless its URL has a path (OTLP/HTTP, "HTTP URLs").
const PATH: &str = "/v1/traces";

/// Where collectors take gRPC, which is not spoken here (OTLP/gRPC, "Default Port").
const GRPC_PORT: u16 = 4317;

const FIX: &str = "write it like https://collector.example:4318";

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl Reader<'_> {
    pub(super) fn telemetry(&self, mut section: Section<'_>, profile: Profile) -> Option<Telemetry> {
        let spot = section.own_spot();
        let endpoint = section.text("endpoint");
        section.choice("protocol", &[("http/protobuf", ())], ());
        let keys = ["ca", "service_name", "sampling"];
        let in_vain = endpoint.is_none() && keys.iter().any(|key| section.has(key));
        let ca = section.text("ca");
        let ca_spot = ca.as_ref().map(|text| text.spot.clone());
        let ca = self.file(ca);
        let name = section.text("service_name");
        let sampling = section.part("sampling", 1.0);
        section.finish();
        if in_vain {
            self.findings.add(
                &spot,
                "without an endpoint nothing is sent",
                "add endpoint = \"https://collector.example:4318\"",
            );
        }
        if let Some(name) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
            self.findings.add(&name.spot, "the name is empty", "write service_name = \"causeway\", or leave it out");
        }
        let endpoint = self.collector(&endpoint?, profile)?;
        if let Some(ca_spot) = ca_spot.filter(|_| endpoint.scheme_str() == Some("http")) {
            self.findings.add(&ca_spot, "nothing is trusted over http", "write https:// in endpoint, or remove ca");
        }
        let service_name = name.map_or_else(|| "causeway".to_owned(), |name| name.value);
        Some(Telemetry { endpoint, ca, service_name, sampling })
    }

    fn collector(&self, text: &Text, profile: Profile) -> Option<Uri> {
        let wrong = |what: &str, fix: &str| self.findings.add(&text.spot, what, fix);
        let Ok(uri) = text.value.parse::<Uri>() else {
            wrong("this is not a URL", FIX);
            return None;
        };
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            wrong("the URL begins with https://, or with http:// on this machine, and a host", FIX);
            return None;
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            wrong("a URL with a user name in it is not for this place", FIX);
            return None;
        }
        if uri.port_u16() == Some(GRPC_PORT) {
            let what = "at port 4317 collectors take gRPC, and spans are sent over HTTP";
            self.findings.note(&text.spot, what, "write 4318, unless yours takes HTTP there");
        }
        if uri.scheme_str() == Some("http") && profile == Profile::Production && !is_this_machine(host) {
            wrong("spans would leave this machine in the clear, and profile is production", FIX);
        }
        if uri.path() != "/" {
            return Some(uri);
        }
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(PATH));
        Uri::from_parts(parts).ok()
    }
}
