//! Commands that use the database and the bus directly.
#![expect(clippy::print_stderr, reason = "a command's result")]

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use carillon_bus::Bus;
use carillon_domain::{Catalog, Moment, SystemClock, TenantId, field_error::quoted, visible::visible_lines};
use carillon_store::Store;
use carillon_templates::catalog_folder::{self, FolderInvalid, FolderIssue};

use super::folder;
use crate::{
    cli::{CatalogCommand, KeysCommand, ReadModelCommand, Stores, TopicsCommand, UsersCommand},
    config::Config,
    output, users_folder,
};

pub(super) async fn store(config: &Config) -> anyhow::Result<Store> {
    Store::connect(&config.store_config()?, Arc::new(SystemClock))
        .await
        .context("database.url")
}

async fn bus(config: &Config) -> anyhow::Result<Bus> {
    Ok(Bus::connect(config.bus_config()?, Arc::new(SystemClock)).await?)
}

pub(super) async fn catalog(command: CatalogCommand, config: Config) -> anyhow::Result<()> {
    let CatalogCommand::Apply {
        folder: source,
        tenant,
        stores,
    } = command;
    let catalog = catalog_folder::load(&source)?;
    let config = folder::configured(config, &stores)?;
    refuse_own_sources(&catalog.catalog, &source, &config)?;
    for warning in &catalog.warnings {
        eprintln!("Warning: {}", visible_lines(&warning.to_string()));
    }
    let applied = catalog_folder::apply(&store(&config).await?, &tenant, &catalog).await?;
    for template in &applied.outdated_drafts {
        output::say(&format!(
            "The draft of {template} was written beside another version than the one that is published now."
        ))?;
    }
    if applied.difference.is_empty() {
        output::say(&format!(
            "Nothing has changed; the catalog is at version {}.",
            applied.catalog_version
        ))?;
        return Ok(());
    }
    output::say(&format!("The catalog is at version {}.", applied.catalog_version))?;
    for version in &applied.published {
        output::say(&format!(
            "  {} is published as version {}",
            version.id, version.version
        ))?;
    }
    let difference = &applied.difference;
    for (kind, names) in [
        ("the type", &difference.types),
        ("the category", &difference.categories),
        ("the setting", &difference.settings),
    ] {
        for name in &names.only_in_store {
            output::say(&format!("  {kind} {name} is no longer in the catalog"))?;
        }
    }
    Ok(())
}

/// Refuses a catalog that takes the installation's own topics for sources.
fn refuse_own_sources(catalog: &Catalog, folder: &Path, config: &Config) -> Result<(), FolderInvalid> {
    let own = catalog.check_source_topics(&config.bus.prefix).into_iter();
    let issues: Vec<FolderIssue> = own
        .map(|error| FolderIssue {
            file: folder.join("catalog.yaml"),
            pointer: error.pointer,
            line: None,
            code: error.code,
            message: error.message,
        })
        .collect();
    if issues.is_empty() {
        Ok(())
    } else {
        Err(FolderInvalid { issues })
    }
}

pub(super) async fn users(command: UsersCommand, config: Config) -> anyhow::Result<()> {
    let UsersCommand::Import {
        folder: source,
        tenant,
        stores,
    } = command;
    let users = users_folder::read(&source)?;
    let config = folder::configured(config, &stores)?;
    let store = store(&config).await?;
    anyhow::ensure!(
        store.suppressions().has_key().await?,
        "security.address_key: expected the key under which the addresses in this database are hashed; after a change of \
         the key, start the tracker first, which hashes them anew"
    );
    let imported = users_folder::import(&store, &tenant, &users).await?;
    output::say(&format!(
        "{} users imported, {} existed.",
        imported.created, imported.existed
    ))?;
    Ok(())
}

pub(super) async fn keys(command: KeysCommand, config: Config) -> anyhow::Result<()> {
    let store = store(&folder::configured(config, command.stores())?).await?;
    match command {
        KeysCommand::Create {
            name,
            role,
            tenant,
            json,
            ..
        } => {
            let key = store.api_keys().create(&tenant, &name, role.into()).await?;
            if json {
                output::json(&serde_json::json!({ "id": key.id, "secret": key.secret }))?;
            } else {
                output::say(&key.secret)?;
                eprintln!("The key {} was created. Its secret is shown only now.", key.id);
            }
        }
        KeysCommand::List { tenant, json, .. } => {
            let keys = store.api_keys().list(&tenant).await?;
            if json {
                return output::json(&keys);
            }
            let time = |at: Option<carillon_domain::Timestamp>| {
                at.map_or_else(String::new, |at| Moment(at).to_string())
            };
            let rows = keys.into_iter().map(|key| {
                vec![
                    key.id.to_string(),
                    key.name,
                    key.role.to_string(),
                    time(Some(key.created_at)),
                    time(key.last_used_at),
                    time(key.revoked_at),
                ]
            });
            output::table(&["id", "name", "role", "created", "last used", "revoked"], rows)?;
        }
        KeysCommand::Revoke { id, tenant, .. } => {
            let parsed = id.parse().map_err(|_| {
                anyhow::anyhow!(
                    "ID: expected a key's id, a UUID that carillon keys list shows, not {}",
                    quoted(&id)
                )
            })?;
            let revoked = store.api_keys().revoke(&tenant, parsed).await?;
            anyhow::ensure!(revoked, "there is no key {id}, or it was revoked before");
            output::say("Revoked. Running gateways may accept it for a few seconds more.")?;
        }
    }
    Ok(())
}

pub(super) async fn topics(command: TopicsCommand, config: Config) -> anyhow::Result<()> {
    let TopicsCommand::Create(stores) = command;
    let bus = bus(&folder::configured(config, &stores)?).await?;
    let created = bus.create_topics().await?;
    for name in &created {
        output::say(name)?;
    }
    output::say(&format!(
        "{} topics created, {} existed.",
        created.len(),
        bus.topics().all().len() - created.len()
    ))?;
    Ok(())
}

/// Creates the topics, applies the folder's catalog and imports its users, for the default tenant. Repeating it changes
/// nothing.
pub(super) async fn setup(folder: &Path, stores: &Stores, config: &Config) -> anyhow::Result<()> {
    let tenant = TenantId::default();
    // A folder that cannot be applied leaves no topics behind.
    catalog_folder::load(folder)?;
    topics(TopicsCommand::Create(stores.clone()), config.clone()).await?;
    let apply = CatalogCommand::Apply {
        folder: folder.to_owned(),
        tenant: tenant.clone(),
        stores: stores.clone(),
    };
    catalog(apply, config.clone()).await?;
    let folder = folder.join("users");
    if !folder.exists() {
        return Ok(());
    }
    let import = UsersCommand::Import {
        folder,
        tenant,
        stores: stores.clone(),
    };
    users(import, config.clone()).await
}

pub(super) async fn read_model(command: ReadModelCommand, config: Config) -> anyhow::Result<()> {
    let ReadModelCommand::Rebuild(stores) = command;
    let config = folder::configured(config, &stores)?;
    let (store, bus) = (store(&config).await?, bus(&config).await?);
    carillon_tracker::rebuild(&bus, &store).await?;
    output::say("The read model is empty; the tracker rebuilds it at its next start.")?;
    Ok(())
}
