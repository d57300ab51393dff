//! The page's texts by language.

use axum::http::{HeaderMap, header::ACCEPT_LANGUAGE};
use carillon_domain::Channel;

/// The texts of one language. `{}` stands for a category's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Texts {
    /// BCP 47.
    pub(super) language: &'static str,
    pub(super) title: &'static str,
    pub(super) unsubscribe: &'static str,
    pub(super) unsubscribed: &'static str,
    pub(super) saved: &'static str,
    pub(super) unknown: &'static str,
    /// The answer to a form that cannot be read.
    pub(super) unreadable: &'static str,
    /// The answer while the page cannot work.
    pub(super) unavailable: &'static str,
    pub(super) choose: &'static str,
    pub(super) save: &'static str,
    email: &'static str,
    push: &'static str,
    sms: &'static str,
    webhook: &'static str,
}

/// The languages. The first one is for users whose languages are not in the list.
static ALL: [Texts; 5] = [
    Texts {
        language: "en",
        title: "Your messages",
        unsubscribe: "Unsubscribe from e-mails: {}",
        unsubscribed: "You get no more e-mails: {}",
        saved: "Your choices are saved.",
        unknown: "This link is not valid any more.",
        unreadable: "Your choices could not be read. Please open the link in your e-mail again.",
        unavailable: "Nothing was changed, because this page does not work at the moment. Please try again in a few minutes.",
        choose: "Choose the messages that you want to get.",
        save: "Save",
        email: "E-mail",
        push: "App notification",
        sms: "Text message",
        webhook: "Webhook",
    },
    Texts {
        language: "de",
        title: "Ihre Nachrichten",
        unsubscribe: "E-Mails abbestellen: {}",
        unsubscribed: "Sie erhalten keine E-Mails mehr: {}",
        saved: "Ihre Auswahl ist gespeichert.",
        unknown: "Dieser Link ist nicht mehr gültig.",
        unreadable: "Ihre Auswahl konnte nicht gelesen werden. Bitte öffnen Sie den Link in der E-Mail noch einmal.",
        unavailable: "Es wurde nichts geändert, weil diese Seite gerade nicht funktioniert. Bitte versuchen Sie es in einigen Minuten noch einmal.",
        choose: "Wählen Sie aus, welche Nachrichten Sie erhalten möchten.",
        save: "Speichern",
        email: "E-Mail",
        push: "App-Mitteilung",
        sms: "SMS",
        webhook: "Webhook",
    },
    Texts {
        language: "fr",
        title: "Vos messages",
        unsubscribe: "Se désabonner des e-mails : {}",
        unsubscribed: "Vous ne recevrez plus d’e-mails : {}",
        saved: "Vos choix sont enregistrés.",
        unknown: "Ce lien n’est plus valable.",
        unreadable: "Vos choix n’ont pas pu être lus. Veuillez ouvrir de nouveau le lien de l’e-mail.",
        unavailable: "Rien n’a été modifié, car cette page ne fonctionne pas pour le moment. Veuillez réessayer dans quelques minutes.",
        choose: "Choisissez les messages que vous souhaitez recevoir.",
        save: "Enregistrer",
        email: "E-mail",
        push: "Notification",
        sms: "SMS",
        webhook: "Webhook",
    },
    Texts {
        language: "es",
        title: "Sus mensajes",
        unsubscribe: "Cancelar los correos electrónicos: {}",
        unsubscribed: "Ya no recibirá correos electrónicos: {}",
        saved: "Sus preferencias se han guardado.",
        unknown: "Este enlace ya no es válido.",
        unreadable: "No se han podido leer sus preferencias. Abra de nuevo el enlace del correo electrónico.",
        unavailable: "No se ha cambiado nada, porque esta página no funciona en este momento. Inténtelo de nuevo dentro de unos minutos.",
        choose: "Elija los mensajes que desea recibir.",
        save: "Guardar",
        email: "Correo electrónico",
        push: "Notificación",
        sms: "SMS",
        webhook: "Webhook",
    },
    Texts {
        language: "it",
        title: "I suoi messaggi",
        unsubscribe: "Annulla l’iscrizione alle e-mail: {}",
        unsubscribed: "Non riceverà più e-mail: {}",
        saved: "Le sue scelte sono state salvate.",
        unknown: "Questo link non è più valido.",
        unreadable: "Non è stato possibile leggere le sue scelte. Apra di nuovo il link nell’e-mail.",
        unavailable: "Non è stato modificato nulla, perché al momento questa pagina non funziona. Riprovi tra qualche minuto.",
        choose: "Scelga i messaggi che desidera ricevere.",
        save: "Salva",
        email: "E-mail",
        push: "Notifica",
        sms: "SMS",
        webhook: "Webhook",
    },
];

impl Texts {
    /// The texts for a user: in the profile's language, else in one that the browser accepts.
    pub(super) fn of(locale: Option<&str>, headers: &HeaderMap) -> &'static Self {
        locale
            .and_then(Self::in_language)
            .unwrap_or_else(|| Self::accepted(headers))
    }

    /// The texts in the first of the browser's languages that has texts. Browsers list languages in order of
    /// preference.
    pub(super) fn accepted(headers: &HeaderMap) -> &'static Self {
        let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let ranges = accepted.into_iter().flat_map(|value| value.split(','));
        ranges
            .filter_map(|range| range.split(';').next())
            .find_map(|tag| Self::in_language(tag.trim()))
            .unwrap_or(&ALL[0])
    }

    fn in_language(tag: &str) -> Option<&'static Self> {
        let language = tag.split(['-', '_']).next()?;
        ALL.iter()
            .find(|texts| texts.language.eq_ignore_ascii_case(language))
    }

    pub(super) fn channel(&self, channel: Channel) -> &'static str {
        match channel {
            Channel::Email => self.email,
            Channel::Push => self.push,
            Channel::Sms => self.sms,
            Channel::Webhook => self.webhook,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_page_is_in_the_users_language_then_in_the_browsers_then_in_english() {
        let accepting =
            |value: &'static str| HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(value))]);
        let french = accepting("pt-BR,fr-CA;q=0.8,de;q=0.5");
        assert_eq!(Texts::of(Some("de-AT"), &french).language, "de");
        assert_eq!(Texts::of(Some("pt"), &french).language, "fr");
        assert_eq!(Texts::of(None, &accepting("*, ,;q=1")).language, "en");
        assert_eq!(Texts::of(None, &HeaderMap::new()).language, "en");
    }
}
