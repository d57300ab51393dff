//! The gateway and the key of a command. A data folder's key belongs to the `carillon dev` of that folder. It
//! is sent to no other server, because another program may listen on the port.

use std::{
    fs::{File, TryLockError},
    net::IpAddr,
    path::Path,
};

use anyhow::{Context as _, bail};
use reqwest::Url;

use crate::{
    cli::Remote,
    dev::{ADDRESS_FILE, API_KEY_FILE, LOCK_FILE},
};

/// The server for an explicit key, if no server is named.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// A gateway, and the key for requests to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) key: String,
}

impl Remote {
    /// Finds the gateway and the key.
    pub(super) fn target(&self) -> anyhow::Result<Target> {
        let folder = &self.data_dir;
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        if let Some(key) = &self.api_key {
            let url = match &self.url {
                Some(url) => url.clone(),
                None => running(folder).unwrap_or_else(|_| DEFAULT_URL.to_owned()),
            };
            return Ok(Target {
                url: trimmed(&url),
                key: key.clone(),
            });
        }
        let address = running(folder).with_context(|| {
            format!(
                "--key or CARILLON_API_KEY: expected a key, or a running carillon dev in {}",
                folder.display()
            )
        })?;
        if let Some(url) = &self.url
            && !is_same(url, &address)
        {
            bail!(
                "--key or CARILLON_API_KEY: expected a key for {url}; the key in {} belongs to {address} and is sent \
                 nowhere else",
                folder.display()
            );
        }
        let path = folder.join(API_KEY_FILE);
        let key = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Target {
            url: address,
            key: key.trim().to_owned(),
        })
    }
}

/// The address of the `carillon dev` that runs in a folder. That process holds the folder's lock while it
/// listens there.
pub(super) fn running(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join(LOCK_FILE);
    let lock = File::open(&path).with_context(|| path.display().to_string())?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) => bail!("no carillon dev runs in {}", folder.display()),
        Err(TryLockError::Error(error)) => return Err(error).with_context(|| path.display().to_string()),
    }
    let path = folder.join(ADDRESS_FILE);
    let address = std::fs::read_to_string(&path)
        .with_context(|| format!("the carillon dev in {} is not ready yet", folder.display()))?;
    Ok(address.trim().to_owned())
}

/// Whether a typed URL means the address. `localhost` counts as the loopback address. The request goes to the
/// address itself, so the name's resolution does not matter.
fn is_same(typed: &str, address: &str) -> bool {
    let (Ok(mut typed), Ok(address)) = (Url::parse(typed), Url::parse(address)) else {
        return false;
    };
    let is_loopback = |url: &Url| {
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']));
        host.and_then(|host| host.parse::<IpAddr>().ok())
            .is_some_and(|ip| ip.is_loopback())
    };
    if typed.host_str() == Some("localhost") && is_loopback(&address) {
        let _ = typed.set_host(address.host_str());
    }
    typed == address
}
