//! WSDLs and schemas, served with the server's own addresses: `GET /services/<name>?wsdl` and
//! `?xsd=<file>`.

use crate::transaction::Service;

const ADDRESS: &str = "{{address}}";

macro_rules! schemas {
    ($($name:literal),+) => {
        &[$(($name, include_str!(concat!("../../wsdl/xsd/", $name)))),+]
    };
}

const SCHEMAS: &[(&str, &str)] =
    schemas!["rim.xsd", "rs.xsd", "lcm.xsd", "query.xsd", "xdsb.xsd", "rmd.xsd", "hl7v3.xsd", "xcpd.xsd", "xml.xsd"];

fn wsdl(service: Service) -> &'static str {
    match service {
        Service::Registry => include_str!("../../wsdl/registry.wsdl"),
        Service::Repository => include_str!("../../wsdl/repository.wsdl"),
        Service::InitiatingGateway => include_str!("../../wsdl/initiating-gateway.wsdl"),
        Service::RespondingGateway => include_str!("../../wsdl/responding-gateway.wsdl"),
    }
}

/// The description that a query string asks for, with `address` as the service's own.
pub fn describe(service: Service, query: &str, address: &str) -> Option<String> {
    let template = match query.split_once('=') {
        None if query.eq_ignore_ascii_case("wsdl") => wsdl(service),
        Some((key, name)) if key.eq_ignore_ascii_case("xsd") => SCHEMAS.iter().find(|(known, _)| *known == name)?.1,
        _ => return None,
    };
    let mut escaped = Vec::new();
    crate::wire::xml::push_attr(&mut escaped, address);
    Some(template.replace(ADDRESS, &String::from_utf8_lossy(&escaped)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::TRANSACTIONS;

    #[test]
    fn every_transaction_is_in_the_wsdl_of_its_services() {
        for row in &TRANSACTIONS {
            for service in row.services {
                let text = describe(*service, "wsdl", "https://x.example/services").unwrap();
                for action in [row.action, row.response_action] {
                    assert!(text.contains(&format!("\"{action}\"")), "{} lacks {action}", service.name());
                }
                assert!(!text.contains(ADDRESS));
            }
        }
    }

    #[test]
    fn every_schema_reference_is_served() {
        for service in Service::ALL {
            let mut texts = vec![describe(service, "wsdl", "A").unwrap()];
            texts.extend(SCHEMAS.iter().map(|(name, _)| describe(service, &format!("xsd={name}"), "A").unwrap()));
            for text in texts {
                for reference in text.split("A?").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()) {
                    assert!(describe(service, reference, "A").is_some(), "{reference}");
                }
            }
        }
        assert!(describe(Service::Registry, "xsd=../../etc/passwd", "A").is_none());
    }
}
