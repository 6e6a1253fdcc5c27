//! What several nodes need of each other's settings, and where a gateway outside the process is.
//!
//! Invariant: a node that shares its shards with others starts only with what a takeover depends on: a journal all of them
//! reach, one secret and one gateway.

use super::{Settings, SettingsError, bad};

impl Settings {
    /// Checks `[cluster]`, and what it asks of the other sections.
    pub(super) fn check_cluster(&self) -> Result<(), SettingsError> {
        self.cluster.check().map_err(|error| bad(error.setting, error.problem))?;
        if !self.cluster.is_on() {
            return Ok(());
        }
        if !self.nats.is_on() {
            return Err(bad("cluster.node", "needs nats.url: the nodes of a cluster share the journal in NATS"));
        }
        if self.store.secret_file.is_none() {
            let problem = "must be set with cluster.node, to a copy of one secret on every node: buyers' tokens are made \
                           from it, and any node answers any buyer";
            return Err(bad("store.secret_file", problem));
        }
        if self.payments.sandbox.url.is_empty() {
            let problem = "must be set with cluster.node: a gateway in the process dies with its node, and the next owner of an \
                           order would charge it again. Start one `holdfast gateway` and name it here";
            return Err(bad("payments.sandbox.url", problem));
        }
        if !self.cluster.admin_url.is_empty() {
            base_address("cluster.admin_url", &self.cluster.admin_url)?;
        }
        Ok(())
    }

    /// Checks the address of a gateway outside the process.
    pub(super) fn check_gateway_url(&self) -> Result<(), SettingsError> {
        let url = &self.payments.sandbox.url;
        if url.is_empty() { Ok(()) } else { base_address("payments.sandbox.url", url) }
    }
}

/// Refuses what is not `http://host:port`.
fn base_address(setting: &'static str, text: &str) -> Result<(), SettingsError> {
    let refused = || bad(setting, format!("must be a base address such as http://10.0.0.1:9090, not {text:?}"));
    let uri: axum::http::Uri = text.parse().map_err(|_| refused())?;
    let is_base = uri.scheme_str() == Some("http")
        && uri.path_and_query().is_none_or(|path| path.as_str() == "/")
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if is_base { Ok(()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_several() -> Settings {
        let mut settings = Settings::default();
        settings.cluster.node = "n1".to_owned();
        settings.nats.url = "nats://127.0.0.1:4222".to_owned();
        settings.store.secret_file = Some("secret".into());
        settings.payments.sandbox.url = "http://127.0.0.1:9095".to_owned();
        settings
    }

    fn refused_for(settings: &Settings) -> Option<String> {
        settings.check().err().map(|error| error.to_string().split(':').next().unwrap_or_default().to_owned())
    }

    fn refused_after(change: impl FnOnce(&mut Settings)) -> Option<String> {
        let mut settings = one_of_several();
        change(&mut settings);
        refused_for(&settings)
    }

    #[test]
    fn a_node_among_others_needs_what_a_takeover_depends_on_and_the_refusal_names_it() {
        assert_eq!(refused_for(&one_of_several()), None);
        let refused = |setting: &str| Some(setting.to_owned());
        assert_eq!(refused_after(|it| it.nats.url.clear()), refused("cluster.node"));
        assert_eq!(refused_after(|it| it.store.secret_file = None), refused("store.secret_file"));
        assert_eq!(refused_after(|it| it.payments.sandbox.url.clear()), refused("payments.sandbox.url"));
        assert_eq!(refused_after(|it| it.cluster.node = "a b".to_owned()), refused("cluster.node"));
    }

    #[test]
    fn an_address_that_is_not_a_plain_base_is_refused() {
        for url in ["https://a:1", "a:1", "http://a:1/x", "http://u:p@a:1", "http://", "http://a:1?x=1"] {
            let refusal = refused_after(|it| it.payments.sandbox.url = url.to_owned());
            assert_eq!(refusal.as_deref(), Some("payments.sandbox.url"), "{url}");
            let refusal = refused_after(|it| it.cluster.admin_url = url.to_owned());
            assert_eq!(refusal.as_deref(), Some("cluster.admin_url"), "{url}");
        }
        assert_eq!(refused_after(|it| it.cluster.admin_url = "http://[::1]:9090/".to_owned()), None);
    }
}
