use std::{
    fs,
    path::{Path, PathBuf},
};

use carillon_domain::Channel;

use super::FolderError;
use crate::{PartialDef, Parts, TemplateDef, TemplateSet, is_locale, set::is_part};

const TEMPLATE: &str = "templates/<type>/<channel>[.<locale>].<part>.hbs, with the channel email, sms or push and the \
                        part subject, text or html (email), text (sms), title, body or data.<key> (push)";
/// Bytes of a file; the publish gate's own bounds are tighter.
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
        for file in files {
            add_template(&mut set, name(&path), &file)?;
        }
    }
    for file in entries(&folder.join("partials"))? {
        add_partial(&mut set, &file)?;
    }
    for file in entries(&folder.join("locales"))? {
        let tag = name(&file).strip_suffix(".ftl").filter(|tag| is_locale(tag));
        let tag = tag.ok_or_else(|| misnamed(&file, LOCALE))?.to_owned();
        set.locales.insert(tag, read(&file)?);
    }
    Ok(set)
}

fn add_template(set: &mut TemplateSet, event_type: &str, file: &Path) -> Result<(), FolderError> {
    let (channel, locale, part) = parse_name(name(file)).ok_or_else(|| misnamed(file, TEMPLATE))?;
    let text = read(file)?;
    let found = set.templates.iter_mut().find(|def| {
        def.event_type == event_type && def.channel == channel && def.locale.as_deref() == locale
    });
    if let Some(def) = found {
        def.parts.insert(part.to_owned(), text);
    } else {
        set.templates.push(TemplateDef {
            event_type: event_type.to_owned(),
            channel,
            locale: locale.map(ToOwned::to_owned),
            version: 1,
            parts: Parts::from([(part.to_owned(), text)]),
        });
    }
    Ok(())
}

/// `<channel>[.<locale>].<part>.hbs`; a part's name is never taken for a locale.
fn parse_name(file: &str) -> Option<(Channel, Option<&str>, &str)> {
    let (channel, rest) = file.strip_suffix(".hbs")?.split_once('.')?;
    let channel: Channel = channel.parse().ok()?;
    if is_part(channel, rest) {
        return Some((channel, None, rest));
    }
    let (locale, part) = rest.split_once('.')?;
    (is_locale(locale) && is_part(channel, part)).then_some((channel, Some(locale), part))
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

/// What lies in a folder, by name; hidden files (editors' and the system's) are passed over.
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
    fn a_byte_order_mark_before_a_file_is_no_part_of_it() {
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
    fn a_device_is_no_file_of_a_catalog() {
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
            Some((Channel::Email, Some("fr-CA"), "subject"))
        );
        assert_eq!(
            parse_name("push.data.url.hbs"),
            Some((Channel::Push, None, "data.url"))
        );
        assert_eq!(
            parse_name("push.de.data.url.hbs"),
            Some((Channel::Push, Some("de"), "data.url"))
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
