//! The first line of an imported file, which names the columns or is the first entry.

use carillon_domain::{Channel, FieldError, contact, field_error::quoted};

use super::COLUMNS;

/// The places of the columns that a heading names; `None` if the line is an entry. A line that is neither is refused,
/// because all lines after it would be misread.
pub(super) fn columns(fields: &[&str]) -> Result<Option<Vec<usize>>, FieldError> {
    if let [field] = fields
        && let Some(separator) = [(';', "semicolons"), ('\t', "tabs")]
            .into_iter()
            .find_map(|(mark, name)| field.contains(mark).then_some(name))
    {
        return Err(wrong(&format!(
            "expected fields that are separated by commas, not by {separator}"
        )));
    }
    if is_entry(fields) {
        return Ok(None);
    }
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field.to_ascii_lowercase();
        match COLUMNS.iter().position(|column| *column == name) {
            Some(column) if !columns.contains(&column) => columns.push(column),
            _ => {
                return Err(wrong(&format!(
                    "expected each of the columns {} at most once, or an entry such as email,ada@example.com, not {}",
                    COLUMNS.join(", "),
                    quoted(field)
                )));
            }
        }
    }
    match COLUMNS[..2]
        .iter()
        .zip(0..)
        .find(|(_, place)| !columns.contains(place))
    {
        Some((name, _)) => Err(wrong(&format!("expected the column {name} too"))),
        None => Ok(Some(columns)),
    }
}

/// Whether a line is an entry, which may have errors. If its first field names a channel, the second one has to look
/// like an address or token. Otherwise, any one of its fields has to be an address.
fn is_entry(fields: &[&str]) -> bool {
    let is_address = |channel: Channel, text: &str| {
        let mut errors = Vec::new();
        contact::check_field(channel, text, "", &mut errors);
        errors.is_empty()
    };
    let second = fields.get(1).copied().unwrap_or_default();
    match fields[0].parse::<Channel>() {
        // Every short text could be a device's token.
        Ok(Channel::Push) => COLUMNS.iter().all(|column| !column.eq_ignore_ascii_case(second)),
        Ok(Channel::Webhook) => second.contains("://"),
        Ok(Channel::Email | Channel::Sms) => second.contains(|c: char| c == '@' || c.is_ascii_digit()),
        Err(_) => fields
            .iter()
            .any(|field| is_address(Channel::Email, field) || is_address(Channel::Sms, field)),
    }
}

fn wrong(expected: &str) -> FieldError {
    FieldError::new("", "heading", format!("the first line: {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let fields: Vec<&str> = line.split(',').collect();
        match columns(&fields) {
            Ok(Some(places)) => format!("{places:?}"),
            Ok(None) => "entry".to_owned(),
            Err(error) => error.message,
        }
    }

    #[test]
    fn a_first_line_that_names_the_columns_is_a_heading_in_any_order_and_case() {
        assert_eq!(said("channel,address"), "[0, 1]");
        assert_eq!(said("Address,CHANNEL,note"), "[1, 0, 4]");
    }

    #[test]
    fn a_first_line_with_a_channel_or_an_address_is_an_entry_although_it_may_be_wrong() {
        for line in [
            "email,ada@example.com",
            "email,ada@,complaint",
            "sms,0151",
            "push,token",
            "fax,ada@example.com",
            "fax,+4915112345678",
            "ada@example.com,email",
        ] {
            assert_eq!(said(line), "entry", "{line}");
        }
    }

    #[test]
    fn a_first_line_that_is_neither_is_refused_with_the_columns_and_the_wrong_name() {
        for (line, says) in [
            ("channel,address,colour", "not \"colour\""),
            ("channel,channel,address", "not \"channel\""),
            ("type,recipient", "not \"type\""),
            ("email,created,reason", "not \"email\""),
            ("push,address", "not \"push\""),
            ("Kanal,Adresse", "not \"Kanal\""),
            ("channel,reason", "expected the column address too"),
            ("address", "expected the column channel too"),
            ("channel;address;reason", "separated by commas, not by semicolons"),
            ("email;ada@example.com", "separated by commas, not by semicolons"),
            ("email\tada@example.com", "separated by commas, not by tabs"),
        ] {
            let told = said(line);
            assert!(
                told.starts_with("the first line: expected") && told.contains(says),
                "{line}: {told}"
            );
        }
    }
}
