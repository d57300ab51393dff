use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use carillon_domain::Channel;

use super::FolderError;
use crate::{PartialDef, Parts, TemplateDef, TemplateSet, canonical_locale, set::is_part};

const TEMPLATE: &str = "templates/<type>/<channel>[.<locale>].<part>.hbs, with the channel push, email, sms or webhook and \
                        the part title, body or data.<key> (push), subject, text or html (email), text (sms), body (webhook)";
/// The maximum size of a file, in bytes; the publish gate's own bounds are tighter.
const MAX_FILE: u64 = 16 << 20;
const PARTIAL: &str = "partials/<name>.html.hbs or partials/<name>.text.hbs";
const LOCALE: &str = "locales/<BCP 47 tag>.ftl";

pub(super) fn load(folder: &Path) -> Result<TemplateSet, FolderError> {
    let mut set = TemplateSet {
        revision: 1,
        ..TemplateSet::default()
    };
    for path in entries(&folder.join("templates"))? {
        let files = entries(&path)?;
        let mut seen = FilesByName::default();
        for file in files {
            add_template(&mut set, &mut seen, name(&path), &file)?;
        }
    }
    for file in entries(&folder.join("partials"))? {
        add_partial(&mut set, &file)?;
    }
    let mut seen = FilesByName::default();
    for file in entries(&folder.join("locales"))? {
        let tag = tag_of(&file).ok_or_else(|| misnamed(&file, LOCALE))?;
        seen.once(tag.clone(), &file)?;
        set.locales.insert(tag, read(&file)?);
    }
    Ok(set)
}

/// The files of a folder, by the text or template that they hold.
#[derive(Default)]
struct FilesByName(BTreeMap<String, PathBuf>);

impl FilesByName {
    /// Refuses a second file that holds the same text or template.
    fn once(&mut self, holds: String, file: &Path) -> Result<(), FolderError> {
        match self.0.insert(holds, file.to_owned()) {
            None => Ok(()),
            Some(other) => Err(FolderError::Twice {
                path: file.to_owned(),
                other,
            }),
        }
    }
}

/// The tag of a file of texts.
fn tag_of(file: &Path) -> Option<String> {
    canonical_locale(name(file).strip_suffix(".ftl")?)
}

pub(super) fn locale_file(folder: &Path, tag: &str) -> PathBuf {
    let locales = folder.join("locales");
    let files = entries(&locales).unwrap_or_default();
    let found = files
        .into_iter()
        .find(|file| tag_of(file).as_deref() == Some(tag));
    found.unwrap_or_else(|| locales.join(format!("{tag}.ftl")))
}

fn add_template(
    set: &mut TemplateSet,
    seen: &mut FilesByName,
    event_type: &str,
    file: &Path,
) -> Result<(), FolderError> {
    let (channel, locale, part) = parse_name(name(file)).ok_or_else(|| misnamed(file, TEMPLATE))?;
    seen.once(format!("{channel} {locale:?} {part}"), file)?;
    let text = read(file)?;
    let found = set
        .templates
        .iter_mut()
        .find(|def| def.event_type == event_type && def.channel == channel && def.locale == locale);
    if let Some(def) = found {
        def.parts.insert(part.to_owned(), text);
    } else {
        set.templates.push(TemplateDef {
            event_type: event_type.to_owned(),
            channel,
            locale,
            version: 1,
            parts: Parts::from([(part.to_owned(), text)]),
        });
    }
    Ok(())
}

/// Splits `<channel>[.<locale>].<part>.hbs`; a part's name is never taken for a locale.
fn parse_name(file: &str) -> Option<(Channel, Option<String>, &str)> {
    let (channel, rest) = file.strip_suffix(".hbs")?.split_once('.')?;
    let channel: Channel = channel.parse().ok()?;
    if is_part(channel, rest) {
        return Some((channel, None, rest));
    }
    let (locale, part) = rest.split_once('.')?;
    let locale = canonical_locale(locale)?;
    is_part(channel, part).then_some((channel, Some(locale), part))
}

fn add_partial(set: &mut TemplateSet, file: &Path) -> Result<(), FolderError> {
    let split = name(file)
        .strip_suffix(".hbs")
        .and_then(|name| name.rsplit_once('.'));
    let (partial, part) = split
        .filter(|(partial, part)| !partial.is_empty() && matches!(*part, "html" | "text"))
        .ok_or_else(|| misnamed(file, PARTIAL))?;
    let text = read(file)?;
    if let Some(def) = set.partials.iter_mut().find(|def| def.name == partial) {
        def.parts.insert(part.to_owned(), text);
    } else {
        set.partials.push(PartialDef {
            name: partial.to_owned(),
            parts: Parts::from([(part.to_owned(), text)]),
        });
    }
    Ok(())
}

/// The entries of a folder by name, without hidden files (editors' and the system's).
fn entries(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let unreadable = |source| FolderError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry.map_err(unreadable)?.path();
        if !name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// A file's text. A leading byte order mark, which some editors write, is removed: in a text message it would
/// force the encoding UCS-2.
pub(super) fn read(file: &Path) -> Result<String, FolderError> {
    let unreadable = |source| FolderError::Unreadable {
        path: file.to_owned(),
        source,
    };
    // A device or a pipe may never end.
    let metadata = fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(FolderError::NoText {
            path: file.to_owned(),
        });
    }
    let mut text = fs::read_to_string(file).map_err(unreadable)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn misnamed(path: &Path, expected: &'static str) -> FolderError {
    FolderError::Name {
        path: path.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_before_a_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sms.text.hbs");
        for (written, read_) in [
            ("\u{feff}Hello", "Hello"),
            ("Hello\u{feff}", "Hello\u{feff}"),
            ("", ""),
        ] {
            fs::write(&file, written).unwrap();
            assert_eq!(read(&file).unwrap(), read_);
        }
    }

    #[test]
    fn a_device_file_is_refused_in_a_catalog_folder() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("sms.text.hbs");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(matches!(read(&link), Err(FolderError::NoText { .. })));
    }

    #[test]
    fn a_file_name_says_channel_locale_and_part() {
        assert_eq!(parse_name("email.html.hbs"), Some((Channel::Email, None, "html")));
        assert_eq!(
            parse_name("email.fr-CA.subject.hbs"),
            Some((Channel::Email, Some("fr-CA".to_owned()), "subject"))
        );
        assert_eq!(
            parse_name("push.data.url.hbs"),
            Some((Channel::Push, None, "data.url"))
        );
        assert_eq!(
            parse_name("push.de.data.url.hbs"),
            Some((Channel::Push, Some("de".to_owned()), "data.url"))
        );
        for wrong in [
            "email.hbs",
            "fax.text.hbs",
            "sms.html.hbs",
            "email.text.txt",
            "email.f.text.hbs",
        ] {
            assert_eq!(parse_name(wrong), None, "{wrong}");
        }
    }
}
