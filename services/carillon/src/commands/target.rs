//! The gateway and the key of a command. A data folder's key belongs to the `carillon dev` of that folder. It is sent
//! to no other server, because another program may be listening on the port.

use std::{io::ErrorKind, net::IpAddr, path::Path};

use anyhow::{Context as _, anyhow, bail};
use carillon_runtime::causes;
use reqwest::Url;

use crate::{
    cli::Remote,
    dev::{ADDRESS_FILE, API_KEY_FILE},
    folder_lock,
};

/// The gateway for an explicit key, if no address is given.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// A gateway, and the key for requests to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GatewayTarget {
    pub(super) url: String,
    pub(super) key: String,
}

impl Remote {
    /// Finds the gateway and the key.
    pub(super) fn target(&self) -> anyhow::Result<GatewayTarget> {
        let folder = &self.data_dir;
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        if let Some(key) = &self.api_key {
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                bail!(
                    "--key or CARILLON_API_KEY: expected a key, which has no spaces and only characters of ASCII"
                );
            }
            let url = match &self.url {
                Some(url) => url.clone(),
                None => running(folder).unwrap_or_else(|_| DEFAULT_URL.to_owned()),
            };
            return Ok(GatewayTarget {
                url: trimmed(&url),
                key: key.clone(),
            });
        }
        let address = running(folder).map_err(|error| {
            anyhow!(
                "--key or CARILLON_API_KEY: expected a key, because {}",
                causes(error.as_ref())
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
        Ok(GatewayTarget {
            url: address,
            key: key.trim().to_owned(),
        })
    }
}

/// The address of the `carillon dev` that is running in a folder. That process holds the folder's lock while it
/// listens there.
pub(super) fn running(folder: &Path) -> anyhow::Result<String> {
    let here = folder.display();
    if !folder_lock::is_taken(folder).with_context(|| here.to_string())? {
        bail!("no carillon dev runs in {here}");
    }
    let address = match std::fs::read_to_string(folder.join(ADDRESS_FILE)) {
        Ok(address) => address,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("the carillon dev in {here} is not ready yet")
        }
        Err(error) => return Err(error).with_context(|| here.to_string()),
    };
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
