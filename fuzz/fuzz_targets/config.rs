//! Configurations: a text, and behind a NUL what the environment overrides.
#![no_main]

use std::ffi::OsString;
use std::path::Path;

use causeway::config::{Config, units};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (text, variables) = text.split_once('\0').unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    match Config::from_toml_with(text, Path::new("/nowhere"), variables) {
        Ok(config) => {
            assert!(toml::from_str::<toml::Table>(text).is_ok());
            // A secret in a configuration would show here.
            let _ = format!("{config:?}");
            for peer in &config.peers {
                let _ = config.tls_for(peer);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(bytes) = units::parse_size(text) {
        assert_eq!(units::parse_size(&units::exact_size(bytes)), Some(bytes));
        let _ = units::human_size(bytes);
    }
    if let Some(duration) = units::parse_duration(text) {
        assert_eq!(units::parse_duration(&units::exact_duration(duration)), Some(duration));
        let _ = units::human_duration(duration);
    }
});
