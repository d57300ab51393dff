# Deutsch

-shop = Lumen & Oak
brand = { -shop }

greeting = Guten Tag,
    .named = Hallo { $name },

footer =
    .address = { -shop } · 12 Harbour Lane · Bristol
    .marketing = Du bekommst diese Nachricht, weil du Neuigkeiten von uns haben möchtest.
    .unsubscribe = Abmelden

# Eine Beschriftung und was dazugehört, in reinem Text.
line = { $label }: { $value }

word =
    .order = Bestellung
    .carrier = Versand mit
    .shipped-on = Versandt am
    .expected-on = Voraussichtlich bei dir
    .total = Summe

order-placed =
    .subject = Danke für deine Bestellung { $order_id }
    .preheader = { $count ->
        [one] Wir packen gerade deinen Artikel ein.
       *[other] Wir packen gerade deine { $count } Artikel ein.
    }
    .headline = Danke für deine Bestellung
    .body = Deine Bestellung { $order_id } vom { $date } ist bei uns angekommen, und wir packen schon. Sobald sie unterwegs ist, sagen wir dir Bescheid.
    .action = Bestellung ansehen
    .push-title = Danke für deine Bestellung
    .push-body = Wir packen deine Bestellung { $order_id } über { $total }.

order-shipped =
    .subject = Deine Bestellung { $order_id } ist unterwegs
    .preheader = { $carrier } hat dein Paket übernommen.
    .headline = Dein Paket ist unterwegs
    .body = Gute Nachricht: Wir haben deine Bestellung { $order_id } versandt und an { $carrier } übergeben.
    .action = Paket verfolgen
    .sms = { -shop }: Deine Bestellung { $order_id } ist mit { $carrier } unterwegs.
    .sms-track = Verfolgen:
    .push-title = Dein Paket ist unterwegs
    .push-body = Bestellung { $order_id } wurde an { $carrier } übergeben.

payment-failed =
    .subject = Die Zahlung für deine Bestellung { $order_id } hat nicht geklappt
    .preheader = Ein neuer Versuch dauert nur eine Minute.
    .headline = Deine Zahlung hat nicht geklappt
    .body = Wir konnten { $amount } für deine Bestellung { $order_id } nicht abbuchen. Meist ist eine Karte abgelaufen oder ein Limit erreicht. Es wurde nichts abgebucht.
    .reserved = Wir halten deine Artikel für dich zurück: bis { $until }.
    .action = Noch einmal versuchen
    .push-title = Deine Zahlung hat nicht geklappt
    .push-body = { $amount } für Bestellung { $order_id } konnten nicht abgebucht werden. Tippe hier für einen neuen Versuch.

password-reset =
    .subject = Setze dein Passwort zurück
    .preheader = { $minutes ->
        [one] Der Link gilt eine Minute lang.
       *[other] Der Link gilt { $minutes } Minuten lang.
    }
    .headline = Wähle ein neues Passwort
    .body = Jemand, vermutlich du selbst, möchte das Passwort deines Kontos zurücksetzen. { $minutes ->
        [one] Der Link gilt eine Minute lang.
       *[other] Der Link gilt { $minutes } Minuten lang.
    }
    .action = Neues Passwort wählen
    .ignore = Falls du das nicht warst, kannst du diese Nachricht ignorieren. Dein Passwort bleibt, wie es ist.

one-time-password =
    .subject = { $code } ist dein Anmeldecode
    .preheader = { $minutes ->
        [one] Gültig für eine Minute.
       *[other] Gültig für { $minutes } Minuten.
    }
    .headline = Dein Anmeldecode
    .body = { $minutes ->
        [one] Melde dich mit diesem Code an. Er gilt eine Minute lang.
       *[other] Melde dich mit diesem Code an. Er gilt { $minutes } Minuten lang.
    }
    .warning = Gib diesen Code niemandem weiter. Wir fragen dich nie danach.
    .sms = { $code } ist dein Code für { -shop }, gültig für { $minutes } Min. Gib ihn niemandem weiter.

price-drop =
    .subject = { $product }: jetzt { $new }
    .preheader = Etwas, das dir gefallen hat, ist günstiger geworden.
    .body = Du hattest dir { $product } angesehen. Jetzt kostet es weniger.
    .action = Noch einmal ansehen
    .push-title = { $product } ist günstiger geworden
    .push-body = { $new } statt { $old }. Schau noch einmal rein.

wishlist-digest =
    .subject = { $count ->
        [one] Ein Preis auf deinem Wunschzettel ist gefallen
       *[other] { $count } Preise auf deinem Wunschzettel sind gefallen
    }
    .preheader = Das Neueste zu den Dingen, die dir gefallen.
    .headline = Dein Wunschzettel heute
    .body = { $count ->
        [one] Etwas auf deinem Wunschzettel ist günstiger geworden.
       *[other] { $count } Dinge auf deinem Wunschzettel sind günstiger geworden.
    }

back-in-stock =
    .subject = { $product } ist wieder da
    .preheader = Du wolltest Bescheid wissen.
    .headline = { $product } ist wieder da
    .body = Du wolltest Bescheid wissen, sobald es wieder verfügbar ist. Jetzt ist es so weit.
    .stock = { $count ->
        [one] Es ist nur noch eines da.
       *[other] Es sind { $count } Stück da.
    }
    .action = Gleich sichern
    .push-title = Wieder verfügbar
    .push-body = { $product } ist wieder auf Lager.

weekly-deals =
    .subject = { $count ->
        [one] Ein Angebot für dein Zuhause in dieser Woche
       *[other] { $count } Angebote für dein Zuhause in dieser Woche
    }
    .preheader = Nur bis zum { $until }.
    .headline = Die Angebote der Woche
    .body = Von Hand ausgesucht und gültig bis { $until }.
