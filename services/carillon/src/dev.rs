//! `carillon dev`: all roles in one process, with embedded storage, the provider simulator and the sample shop.

mod first_event;
mod new_folder;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    net::SocketAddr,
    num::NonZeroU16,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, bail};
use axum::Router;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_domain::{Channel, TenantId};
use carillon_providers::{
    ApnsConfig, BaseUrl, FcmConfig, SmtpConfig, SmtpTls, TwilioConfig, WebhookConfig, apns::ApnsEnvironment,
    webhook::Networks,
};
use carillon_runtime::{
    Lifecycle, Secret, Shutdown, config::listen::reachable, http, telemetry::MetricsHandle,
};
use carillon_simulator::{Simulator, SimulatorConfig, SimulatorError};
use carillon_store::{DatabaseUrl, Store, api_keys};
use include_dir::{Dir, include_dir};
use rand::RngExt as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use self::{first_event::first_event, new_folder::NewFolder};
use crate::{
    check,
    cli::{DevArgs, Without},
    config::Config,
    folder_lock,
    foundation::Foundation,
    output, private,
    roles::{self, ProcessRole},
    users_folder,
};

static SHOP: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/shop");

/// The file of the API key in the data folder, which the command line reads too.
pub(crate) const API_KEY_FILE: &str = "api-key";

/// The file of the secrets that are generated once.
const SECRETS_FILE: &str = "secrets.json";

/// The file of the address at which the folder's API listens while its `dev` is running. The folder's key is sent
/// only to this address.
pub(crate) const ADDRESS_FILE: &str = "address";

/// The line that `--json` prints when all roles are ready.
#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    api_key: &'a str,
    simulator_url: &'a str,
    data_dir: &'a Path,
}

/// The simulator's folder in the data folder.
const SIMULATOR_FOLDER: &str = "simulator";

/// Secrets that are generated once.
#[derive(Serialize, Deserialize)]
struct Secrets {
    address_key: String,
    /// The key of the simulator's FCM service account, PKCS #8 in PEM.
    service_account_key: String,
    /// The key of the simulator's APNs team, PKCS #8 in PEM.
    apns_signer: String,
}

/// Runs until a signal.
pub(crate) async fn run(mut config: Config, args: DevArgs, metrics: MetricsHandle) -> anyhow::Result<()> {
    apart(args.listen, args.simulator_listen)?;
    let dir = &args.data_dir;
    let mut new_folder = NewFolder::of(dir);
    let _lock = open_folder(dir)?;
    let secrets = secrets(&dir.join(SECRETS_FILE))?;
    let listener = roles::bind(args.listen, "--listen")?;
    if config.http.public_url.is_none() {
        let url = format!("http://{}", reachable(listener.local_addr()?));
        config.http.public_url = Some(url.parse().map_err(anyhow::Error::msg)?);
    }
    let shutdown = Shutdown {
        stall_limit: config.shutdown.stall_limit,
        ..Shutdown::default()
    };
    let end_of_simulator = CancellationToken::new();
    let operations = http::operations(roles::simulator_readiness(), metrics.clone());
    let settings = config.simulator_config();
    let simulator = start_simulator(&args, &secrets, settings, operations, &end_of_simulator).await?;
    let simulator_url = format!("http://{}", simulator.http_addr());
    embed(&mut config, &args, &secrets, &simulator, listener.local_addr()?)?;
    check::of_roles(&config, &roles::ALL, Vec::new())?;
    check::warn(&config, &roles::ALL);

    let grace = config.shutdown.grace;
    let foundation = Foundation::connect(config, metrics, shutdown.clone()).await?;
    if foundation
        .store
        .catalog()
        .get(&TenantId::default())
        .await?
        .is_none()
    {
        open_shop(&foundation.store, &dir.join("shop"))
            .await
            .context("the sample shop")?;
    }
    let api_key = api_key(&foundation.store, &dir.join(API_KEY_FILE)).await?;
    // From here on the folder may hold events, and the next start continues with it.
    new_folder.keep();
    let mut lifecycle = Lifecycle::new(shutdown.clone(), grace);
    let (ended, mut end) = tokio::sync::oneshot::channel();
    let simulating = tokio::spawn(async move { ended.send(simulator.finished().await) });
    lifecycle.spawn("simulator", async move {
        tokio::select! {
            ended = &mut end => Ok(ended??),
            // Providers answer until all roles have finished their work in flight.
            () = shutdown.soft() => Ok(()),
        }
    });
    let listening = roles::spawn(&foundation, &wanted(&args.without), listener, &mut lifecycle)?;
    let url = format!("http://{}", reachable(listening));
    write_private(&dir.join(ADDRESS_FILE), &url)?;

    let ready = Ready {
        url: &url,
        api_key: &api_key,
        simulator_url: &simulator_url,
        data_dir: dir,
    };
    announce(&ready, args.json)?;
    let ended = lifecycle.run().await;
    end_of_simulator.cancel();
    let _ = simulating.await?;
    foundation.store.close().await;
    Ok(ended?)
}

/// Refuses the same address for two servers: the error of the second one would blame another process.
fn apart(listen: SocketAddr, simulator: SocketAddr) -> anyhow::Result<()> {
    let overlap =
        listen.ip() == simulator.ip() || listen.ip().is_unspecified() || simulator.ip().is_unspecified();
    if overlap && listen.port() == simulator.port() && listen.port() != 0 {
        bail!(
            "--listen ({listen}) and --simulator-listen ({simulator}) name the same address; give each a port of its own"
        );
    }
    Ok(())
}

/// All roles except those that are left out.
fn wanted(without: &[Without]) -> Vec<ProcessRole> {
    let is_wanted = |role: &ProcessRole| match role {
        ProcessRole::Router => !without.contains(&Without::Router),
        ProcessRole::Worker(_) => !without.contains(&Without::Worker),
        ProcessRole::Tracker => !without.contains(&Without::Tracker),
        ProcessRole::Scheduler => !without.contains(&Without::Scheduler),
        ProcessRole::Gateway | ProcessRole::Templates => true,
    };
    roles::ALL.into_iter().filter(is_wanted).collect()
}

/// Creates the folder and locks it for this process.
fn open_folder(dir: &Path) -> anyhow::Result<File> {
    if !dir.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("{}: the folder cannot be created", dir.display()))?;
    } else if !dir.is_dir() {
        bail!(
            "{} is a file, and a data folder is expected; choose one with --data-dir",
            dir.display()
        );
    }
    private::take_from_others(dir)?;
    let lock = folder_lock::take(dir)?;
    // Another program may use the address of an earlier run by now.
    match fs::remove_file(dir.join(ADDRESS_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(lock),
    }
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// The key with which the addresses in a folder's stores are hashed; `None` if the folder has no secrets.
pub(crate) fn address_key(folder: &Path) -> anyhow::Result<Option<Secret>> {
    let path = folder.join(SECRETS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(secrets(&path)?.address_key.into()))
}

/// Reads the folder's secrets, or generates them.
fn secrets(path: &Path) -> anyhow::Result<Secrets> {
    if path.exists() {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        return serde_json::from_str(&text).with_context(|| path.display().to_string());
    }
    let mut random = [0_u8; 32];
    rand::rng().fill(&mut random);
    let address_key = BASE64_STANDARD.encode(random);
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)?;
    let secrets = Secrets {
        address_key,
        service_account_key: key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
        apns_signer: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem(),
    };
    write_private(path, &serde_json::to_string(&secrets)?)?;
    Ok(secrets)
}

async fn start_simulator(
    args: &DevArgs,
    secrets: &Secrets,
    settings: SimulatorConfig,
    operations: Router,
    end: &CancellationToken,
) -> anyhow::Result<Simulator> {
    use rsa::pkcs8::DecodePrivateKey as _;

    let key = RsaPrivateKey::from_pkcs8_pem(&secrets.service_account_key)?;
    // The default port may be taken, so it means a free one here.
    let usual = Config::default().simulator.smtp_listen;
    let smtp_listen = if settings.smtp_listen == usual {
        SimulatorConfig::default().smtp_listen
    } else {
        settings.smtp_listen
    };
    let config = SimulatorConfig {
        listen: args.simulator_listen,
        smtp_listen,
        data_dir: Some(args.data_dir.join(SIMULATOR_FOLDER)),
        receipts_after: settings.receipts_after,
        twilio_inbound_url: settings.twilio_inbound_url,
        sendgrid_webhook_url: settings.sendgrid_webhook_url,
        sendgrid_webhook_key_pem: settings.sendgrid_webhook_key_pem,
        webhook_secret: settings.webhook_secret,
        ses_topic: settings.ses_topic,
        sns_subscriber_url: settings.sns_subscriber_url,
        sns_endpoint: settings.sns_endpoint,
        sns_signature_version: settings.sns_signature_version,
        apns_public_key_pem: Some(KeyPair::from_pem(&secrets.apns_signer)?.public_key_pem()),
        service_account_public_key_pem: Some(key.to_public_key().to_public_key_pem(LineEnding::LF)?),
        ..SimulatorConfig::default()
    };
    Simulator::start(config, operations, end.clone())
        .await
        .map_err(|error| match error {
            SimulatorError::Listen { address, source } if address == args.simulator_listen => {
                roles::taken(address, "--simulator-listen", &source)
            }
            error => error.into(),
        })
}

/// The configuration of the embedded mode: all data in the folder, and an account at the simulator for each channel
/// that has no account. Other explicit settings stay.
fn embed(
    config: &mut Config,
    args: &DevArgs,
    secrets: &Secrets,
    simulator: &Simulator,
    listening: SocketAddr,
) -> anyhow::Result<()> {
    config.http.listen = args.listen;
    config.kafka.brokers.clear();
    config.redis.url = None;
    config.bus.path = args.data_dir.join("bus.db");
    config.database.url = Some(DatabaseUrl::sqlite(&args.data_dir.join("store.db")));
    config.security.address_key = Some(secrets.address_key.clone().into());
    let defaults = SimulatorConfig::default();
    let url_of = |address: SocketAddr| -> anyhow::Result<BaseUrl> {
        format!("http://{address}").parse().map_err(anyhow::Error::msg)
    };
    let base_url = url_of(simulator.http_addr())?;
    let request_timeout = Duration::from_secs(8);
    let providers = &mut config.providers;
    if !providers.serve(Channel::Push) {
        let account = serde_json::json!({
            "project_id": "carillon-dev",
            "client_email": "carillon@carillon-dev.iam.gserviceaccount.com",
            "private_key": secrets.service_account_key,
            "token_uri": format!("http://{}/token", simulator.http_addr()),
        });
        let fcm = FcmConfig {
            service_account_path: None,
            service_account: Some(Secret::from(account.to_string())),
            base_url: base_url.clone(),
            request_timeout,
            rate_per_second: None,
        };
        providers.insert("fcm", fcm);
        let apns = ApnsConfig {
            team_id: written(&defaults.apns_team_id)?,
            key_id: written(&defaults.apns_key_id)?,
            key_path: None,
            key: Some(secrets.apns_signer.clone().into()),
            topic: written(&defaults.apns_topic)?,
            environment: ApnsEnvironment::Sandbox,
            base_url: Some(written(&format!("https://{}", simulator.apns_addr()))?),
            root_certificates_path: Some(args.data_dir.join(SIMULATOR_FOLDER).join("apns-authority.pem")),
            max_connections: NonZeroU16::MIN.saturating_add(1),
            request_timeout,
            rate_per_second: None,
        };
        providers.insert("apns", apns);
    }
    if !providers.serve(Channel::Sms) {
        let twilio = TwilioConfig {
            account_sid: defaults.twilio_account_sid.parse().map_err(anyhow::Error::msg)?,
            auth_token: Some(defaults.twilio_auth_token.into()),
            secondary_auth_token: None,
            from: Some("+15550001111".parse().map_err(anyhow::Error::msg)?),
            messaging_service_sid: None,
            callback_url: Some(url_of(reachable(listening))?),
            base_url,
            request_timeout,
            rate_per_second: None,
        };
        providers.insert("twilio", twilio);
    }
    if !providers.serve(Channel::Email) {
        let smtp = SmtpConfig {
            host: (simulator.smtp_addr().ip().to_string().parse()).map_err(anyhow::Error::msg)?,
            port: simulator.smtp_addr().port().try_into()?,
            tls: SmtpTls::None,
            username: None,
            password: None,
            from: ("Carillon Shop <shop@example.com>".parse()).map_err(anyhow::Error::msg)?,
            max_connections: 32.try_into()?,
            request_timeout,
            rate_per_second: None,
        };
        providers.insert("smtp", smtp);
    }
    if !providers.serve(Channel::Webhook) {
        let webhooks = WebhookConfig {
            allow_http: true,
            allowed_networks: Networks::parse(["127.0.0.0/8", "::1/128"]).map_err(anyhow::Error::msg)?,
            ..WebhookConfig::default()
        };
        providers.insert("webhooks", webhooks);
    }
    Ok(())
}

/// Parses a setting of the simulator's APNs as the type that the APNs account has for it.
fn written<T: FromStr<Err = String>>(text: &str) -> anyhow::Result<T> {
    text.parse().map_err(anyhow::Error::msg)
}

/// Puts the catalog, templates and users of the sample shop into an empty installation.
async fn open_shop(store: &Store, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    SHOP.extract(folder)?;
    let tenant = TenantId::default();
    let catalog = carillon_templates::catalog_folder::load(folder)?;
    // The catalog comes last: without it the next start repeats all steps, so an interrupted start omits nothing.
    let users = users_folder::read(&folder.join("users"))?;
    users_folder::import(store, &tenant, &users).await?;
    carillon_templates::catalog_folder::apply(store, &tenant, &catalog).await?;
    Ok(())
}

/// The folder's API key, generated once.
async fn api_key(store: &Store, path: &Path) -> anyhow::Result<String> {
    if let Ok(key) = fs::read_to_string(path) {
        let key = key.trim();
        if store.api_keys().verify(key).await?.is_some() {
            return Ok(key.to_owned());
        }
    }
    let key = store
        .api_keys()
        .create(&TenantId::default(), "carillon dev", api_keys::Role::Admin)
        .await?;
    write_private(path, &key.secret)?;
    Ok(key.secret)
}

fn announce(ready: &Ready<'_>, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(ready);
    }
    let Ready {
        url,
        api_key,
        simulator_url,
        data_dir,
    } = ready;
    output::say(&format!(
        "
  Carillon is ready.

  Dashboard      {url}/        (sign in with the key below)
  API key        {api_key}
  Messages       {simulator_url}/        (what the simulated providers delivered)
  Data           {}

  Post an event:

{}",
        data_dir.display(),
        first_event(url, data_dir)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_options_with_one_address_are_refused_with_their_names() {
        let apart = |listen: &str, simulator: &str| {
            apart(listen.parse().unwrap(), simulator.parse().unwrap()).map_err(|error| error.to_string())
        };
        for (listen, simulator) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("127.0.0.1:8080", "[::]:8080"),
        ] {
            let told = apart(listen, simulator).unwrap_err();
            assert!(
                told.contains("--listen") && told.contains("--simulator-listen"),
                "{told}"
            );
        }
        for (listen, simulator) in [
            ("127.0.0.1:8080", "127.0.0.1:8081"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:8080", "127.0.0.2:8080"),
        ] {
            apart(listen, simulator).unwrap();
        }
    }
}
