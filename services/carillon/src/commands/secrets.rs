//! `carillon secrets`: the secrets of `docker-compose.yml`. They are generated at its first start, so that no secret
//! has to be committed, copied or remembered. Each audience has a folder (a volume) of its own, and each file belongs
//! to the one user that reads it.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use carillon_simulator::ApnsIdentity;
use rand::RngExt as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rsa::{
    RsaPrivateKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use serde::{Deserialize, Serialize};

/// The folders, one for each audience.
const AUDIENCES: [&str; 5] = ["carillon", "providers", "receipts", "simulator", "postgres"];

/// A service account as Google hands it out. The token endpoint is the simulator's.
#[derive(Serialize, Deserialize)]
struct ServiceAccount {
    r#type: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// Generates the secrets that the folders lack.
pub(crate) fn generate(folder: &Path, owner: Option<u32>) -> anyhow::Result<()> {
    for audience in AUDIENCES {
        let path = folder.join(audience);
        ensure!(
            path.is_dir(),
            "FOLDER: expected a folder with the folders {}, and {} is not there",
            AUDIENCES.join(", "),
            path.display()
        );
    }
    let file = |name: &str| SecretFile {
        path: folder.join(name),
        owner,
    };
    // PostgreSQL's image reads its password before it gives up root.
    let password = SecretFile {
        owner: None,
        ..file("postgres/password")
    };
    let password = password.keep(|| Ok(hex::<24>()))?;
    file("carillon/database_url")
        .keep(|| Ok(format!("postgres://carillon:{password}@postgres:5432/carillon")))?;
    file("carillon/address_key").keep(|| Ok(hex::<32>()))?;
    file("carillon/internal_token").keep(|| Ok(hex::<32>()))?;
    let token = file("providers/twilio_auth_token").keep(|| Ok(hex::<16>()))?;
    // Twilio signs its callbacks with the token too, so that the gateway has to know it.
    for audience in ["receipts", "simulator"] {
        file(&format!("{audience}/twilio_auth_token")).keep(|| Ok(token.clone()))?;
    }

    // The workers sign with the private key. The simulator checks signatures with the public key, derived from it.
    let (account, public) = (
        file("providers/fcm_service_account.json"),
        file("simulator/fcm_public_key.pem"),
    );
    if !account.exists() {
        public.remove()?;
    }
    let account = account.keep(service_account)?;
    public.keep(|| {
        let account: ServiceAccount =
            serde_json::from_str(&account).context("providers/fcm_service_account.json")?;
        let key = RsaPrivateKey::from_pkcs8_pem(&account.private_key)?;
        Ok(key.to_public_key().to_public_key_pem(LineEnding::LF)?)
    })?;
    let (key, public) = (
        file("providers/apns_key.p8"),
        file("simulator/apns_public_key.pem"),
    );
    if !key.exists() {
        public.remove()?;
    }
    let key = key.keep(|| Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem()))?;
    public.keep(|| Ok(KeyPair::from_pem(&key)?.public_key_pem()))?;

    // The simulator's certificate, and the authority that the workers trust. They are generated together.
    let (authority, certificate, certificate_key) = (
        file("providers/apns_authority.pem"),
        file("simulator/apns_certificate.pem"),
        file("simulator/apns_certificate_key.pem"),
    );
    let all = [&certificate_key, &certificate, &authority];
    if !all.iter().all(|file| file.exists()) {
        let identity = ApnsIdentity::generate(&["simulator", "localhost", "127.0.0.1"])?;
        let texts = [identity.key_pem, identity.certificate_pem, identity.authority_pem];
        for (file, text) in all.into_iter().zip(texts) {
            file.remove()?;
            file.keep(|| Ok(text))?;
        }
    }
    Ok(())
}

/// Random bytes in hexadecimal.
fn hex<const BYTES: usize>() -> String {
    let mut random = [0_u8; BYTES];
    rand::rng().fill(&mut random);
    random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn service_account() -> anyhow::Result<String> {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)?;
    Ok(serde_json::to_string_pretty(&ServiceAccount {
        r#type: "service_account".to_owned(),
        project_id: "carillon-simulator".to_owned(),
        private_key_id: "simulator".to_owned(),
        private_key: key.to_pkcs8_pem(LineEnding::LF)?.to_string(),
        client_email: "carillon@carillon-simulator.iam.gserviceaccount.com".to_owned(),
        token_uri: "http://simulator:8080/token".to_owned(),
    })?)
}

/// A file that only its owner may read.
struct SecretFile {
    path: PathBuf,
    /// The owner's user id; this process's user if there is none.
    owner: Option<u32>,
}

impl SecretFile {
    fn exists(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|about| about.len() > 0)
    }

    fn remove(&self) -> anyhow::Result<()> {
        remove(&self.path).with_context(|| self.path.display().to_string())
    }

    /// The file's content, generated if there is none.
    fn keep(&self, generate: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
        let path = self.path.display();
        if self.exists() {
            return fs::read_to_string(&self.path).with_context(|| path.to_string());
        }
        let content = generate().with_context(|| path.to_string())?;
        self.write(&content).with_context(|| path.to_string())?;
        Ok(content)
    }

    /// The name appears only when the content is complete: a start that was cut short is repeated.
    fn write(&self, content: &str) -> io::Result<()> {
        let unfinished = self.path.with_extension("new");
        remove(&unfinished)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&unfinished)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        if let Some(owner) = self.owner {
            chown(&unfinished, Some(owner), None)?;
        }
        fs::rename(&unfinished, &self.path)
    }
}

/// Removes a file that may be absent.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    };

    use rsa::{RsaPublicKey, pkcs8::DecodePublicKey as _};

    use super::*;

    const FILES: [&str; 14] = [
        "carillon/address_key",
        "carillon/database_url",
        "carillon/internal_token",
        "postgres/password",
        "providers/apns_authority.pem",
        "providers/apns_key.p8",
        "providers/fcm_service_account.json",
        "providers/twilio_auth_token",
        "receipts/twilio_auth_token",
        "simulator/apns_certificate.pem",
        "simulator/apns_certificate_key.pem",
        "simulator/apns_public_key.pem",
        "simulator/fcm_public_key.pem",
        "simulator/twilio_auth_token",
    ];

    fn audiences() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for audience in AUDIENCES {
            fs::create_dir(folder.path().join(audience)).unwrap();
        }
        folder
    }

    /// The content of every file.
    fn read(folder: &Path) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for audience in AUDIENCES {
            for entry in fs::read_dir(folder.join(audience)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
        files
    }

    /// Asserts that the simulator's public key belongs to the private key with which the workers sign.
    fn assert_keys_match(files: &BTreeMap<String, String>) {
        let account: ServiceAccount =
            serde_json::from_str(&files["providers/fcm_service_account.json"]).unwrap();
        let key = RsaPrivateKey::from_pkcs8_pem(&account.private_key).unwrap();
        let public = RsaPublicKey::from_public_key_pem(&files["simulator/fcm_public_key.pem"]).unwrap();
        assert_eq!(key.to_public_key(), public);
        let key = KeyPair::from_pem(&files["providers/apns_key.p8"]).unwrap();
        assert_eq!(key.public_key_pem(), files["simulator/apns_public_key.pem"]);
    }

    #[test]
    fn secrets_are_generated_once_are_readable_by_their_owner_only_and_match() {
        let folder = audiences();
        let me = fs::metadata(folder.path()).unwrap().uid();
        generate(folder.path(), Some(me)).unwrap();
        let files = read(folder.path());
        assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), FILES);
        for name in FILES {
            let about = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(
                (about.uid(), about.permissions().mode() & 0o777),
                (me, 0o400),
                "{name}"
            );
        }
        let password = &files["postgres/password"];
        assert_eq!(password.len(), 48);
        assert!(files["carillon/database_url"].contains(&format!(":{password}@postgres:5432/")));
        assert_eq!(
            files["providers/twilio_auth_token"],
            files["simulator/twilio_auth_token"]
        );
        assert_ne!(files["carillon/address_key"], files["carillon/internal_token"]);
        assert_keys_match(&files);

        generate(folder.path(), Some(me)).unwrap();
        assert!(files == read(folder.path()), "a second start changes a secret");
    }

    #[test]
    fn an_interrupted_start_is_repeated_and_the_keys_match() {
        let folder = audiences();
        generate(folder.path(), None).unwrap();
        let before = read(folder.path());
        fs::remove_file(folder.path().join("providers/fcm_service_account.json")).unwrap();
        fs::write(folder.path().join("providers/fcm_service_account.new"), "{").unwrap();
        fs::remove_file(folder.path().join("providers/apns_key.p8")).unwrap();
        fs::remove_file(folder.path().join("simulator/apns_certificate.pem")).unwrap();
        fs::remove_file(folder.path().join("carillon/address_key")).unwrap();
        fs::write(folder.path().join("carillon/address_key"), "").unwrap();
        generate(folder.path(), None).unwrap();
        let after = read(folder.path());
        assert_eq!(after.keys().map(String::as_str).collect::<Vec<_>>(), FILES);
        assert_keys_match(&after);
        for together in [
            "providers/apns_authority.pem",
            "simulator/apns_certificate_key.pem",
        ] {
            assert_ne!(after[together], before[together]);
        }
        assert_eq!(after["carillon/address_key"].len(), 64);
        assert_eq!(after["postgres/password"], before["postgres/password"]);
    }

    #[test]
    fn a_folder_that_lacks_the_folders_of_audiences_is_refused_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let said = generate(folder.path(), None).unwrap_err().to_string();
        assert!(
            said.contains("carillon, providers, receipts, simulator, postgres")
                && said.contains("is not there"),
            "{said}"
        );
    }
}
