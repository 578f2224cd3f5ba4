//! What a running broker does not take up of a configuration that has changed (SIGHUP): whoever takes a name off a list
//! must not believe that it holds already.

use super::Config;

impl Config {
    /// The sections that are written otherwise in the newer one, and hold after a restart alone.
    pub fn waits_for_restart(&self, newer: &Self) -> Vec<&'static str> {
        let changed = [
            ("[community]", self.community != newer.community),
            ("[storage]", self.storage != newer.storage),
            ("[[listener]]", self.listeners != newer.listeners),
            ("[admin]", self.admin != newer.admin),
            ("[client]", self.client != newer.client),
            ("[registry]", self.registry != newer.registry),
            ("[audit]", self.audit != newer.audit),
            ("[log]", self.log != newer.log),
            ("[limits]", self.limits != newer.limits),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::with;

    #[test]
    fn whoever_is_taken_off_a_list_of_a_listener_is_told_of() {
        let running = with("").unwrap();
        assert!(running.waits_for_restart(&running).is_empty());
        let mut newer = running.clone();
        newer.listeners[0].administrators.push("records".to_owned());
        newer.limits.peer_queue += 1;
        newer.peers.clear();
        assert_eq!(running.waits_for_restart(&newer), ["[[listener]]", "[limits]"]);
        newer = running.clone();
        newer.log.level = "debug".to_owned();
        newer.client.crl = Some("new.crl".into());
        assert_eq!(running.waits_for_restart(&newer), ["[client]", "[log]"]);
    }
}
