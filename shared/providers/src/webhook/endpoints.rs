//! Whether an installation may ever call an endpoint, as far as its URL alone shows it. The gateway asks before it registers an
//! endpoint; the worker judges by the same rules before each request, and by the addresses of the name.

use super::{NotSendable, WebhookConfig, WebhookRequests};

/// The rules of all accounts that send webhooks.
#[derive(Debug, Clone)]
pub struct EndpointRules(Vec<WebhookRequests>);

impl EndpointRules {
    /// The rules of these accounts; without any, those of the account that an installation has by default.
    pub(crate) fn of<'c>(accounts: impl Iterator<Item = &'c WebhookConfig>) -> Self {
        let mut rules: Vec<WebhookRequests> = accounts.map(WebhookRequests::new).collect();
        if rules.is_empty() {
            rules.push(WebhookRequests::new(&WebhookConfig::default()));
        }
        Self(rules)
    }

    /// Refuses a URL that no account would call. A name whose addresses only its resolution shows is accepted. Of several accounts'
    /// reasons, that of the account is given that comes nearest to a call.
    pub fn check(&self, url: &str) -> Result<(), NotSendable> {
        let mut nearest = NotSendable::Url;
        for account in &self.0 {
            match account.judge(url) {
                Ok(_) => return Ok(()),
                Err(why) => nearest = nearest.max(why),
            }
        }
        Err(nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::Networks;

    fn rules(accounts: &[(bool, &[&str])]) -> EndpointRules {
        let configs: Vec<WebhookConfig> = accounts
            .iter()
            .map(|(allow_http, networks)| WebhookConfig {
                allow_http: *allow_http,
                allowed_networks: Networks::parse(networks.iter().copied()).unwrap(),
                ..WebhookConfig::default()
            })
            .collect();
        EndpointRules::of(configs.iter())
    }

    #[test]
    fn what_no_account_may_call_is_refused_and_what_one_may_call_is_accepted() {
        use NotSendable::{Address, NotHttps, Url};

        let default = rules(&[]);
        let dev = rules(&[(true, &["127.0.0.0/8", "::1/128"])]);
        let two = rules(&[(false, &[]), (true, &["10.1.0.0/16"])]);
        for (url, by_default, in_dev, by_two) in [
            ("https://hooks.example.com/", Ok(()), Ok(()), Ok(())),
            ("http://hooks.example.com/", Err(NotHttps), Ok(()), Ok(())),
            ("https://10.1.2.3/", Err(Address), Err(Address), Ok(())),
            ("http://10.2.0.1/", Err(NotHttps), Err(Address), Err(Address)),
            ("https://127.0.0.1/", Err(Address), Ok(()), Err(Address)),
            ("https://[::1]/", Err(Address), Ok(()), Err(Address)),
            ("https://localhost/", Err(Address), Ok(()), Err(Address)),
            ("https://LocalHost.:8443/x", Err(Address), Ok(()), Err(Address)),
            ("https://erp.localhost/", Err(Address), Ok(()), Err(Address)),
            ("https://0x7f.1/", Err(Address), Ok(()), Err(Address)),
            ("https://localhost.example.com/", Ok(()), Ok(()), Ok(())),
            (
                "ftp://hooks.example.com/",
                Err(NotHttps),
                Err(NotHttps),
                Err(NotHttps),
            ),
            ("hooks", Err(Url), Err(Url), Err(Url)),
        ] {
            assert_eq!(default.check(url), by_default, "{url}");
            assert_eq!(dev.check(url), in_dev, "{url}");
            assert_eq!(two.check(url), by_two, "{url}");
        }
    }
}
