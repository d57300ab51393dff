//! A folder of users: a `<user id>.json` for each, with the body of `PUT /v1/users/{id}`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use carillon_domain::{TenantId, UserId};
use carillon_gateway::checked_user;
use carillon_store::{Store, users::UserPut};

/// The counts of an import.
pub(crate) struct Imported {
    /// Users that were created.
    pub(crate) created: usize,
    /// Users that existed and stayed unchanged.
    pub(crate) existed: usize,
}

/// Creates the users that do not exist yet.
pub(crate) async fn import(
    store: &Store,
    tenant: &TenantId,
    users: &[(UserId, UserPut)],
) -> anyhow::Result<Imported> {
    let mut imported = Imported {
        created: 0,
        existed: 0,
    };
    for (id, put) in users {
        if store.users().get(tenant, id).await?.is_some() {
            imported.existed += 1;
        } else {
            store.users().put(tenant, id, put, None).await?;
            imported.created += 1;
        }
    }
    Ok(imported)
}

/// The users of a folder, ordered by file name. The error lists the invalid fields of all files.
pub(crate) fn read(folder: &Path) -> anyhow::Result<Vec<(UserId, UserPut)>> {
    let place = || folder.display().to_string();
    let entries = fs::read_dir(folder).with_context(place)?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()
        .with_context(place)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    anyhow::ensure!(
        !files.is_empty(),
        "{} has no users: expected files named <user id>.json",
        folder.display()
    );
    files.sort();
    let (mut users, mut issues) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.display();
        let id = file.file_stem().and_then(|stem| stem.to_str());
        let id = id.with_context(|| format!("{name}: expected a file name in UTF-8"))?;
        let body = fs::read(&file).with_context(|| name.to_string())?;
        match checked_user(id, &body) {
            Ok(user) => users.push(user),
            Err(problem) if problem.errors.is_empty() => issues.push(format!("{name}: {}", problem.detail)),
            Err(problem) => issues.extend(
                (problem.errors.iter()).map(|error| format!("{name} {}: {}", error.pointer, error.message)),
            ),
        }
    }
    anyhow::ensure!(issues.is_empty(), "{}", issues.join("\n"));
    Ok(users)
}
