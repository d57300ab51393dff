# Français

-shop = Lumen & Oak
brand = { -shop }

greeting = Bonjour,
    .named = Bonjour { $name },

footer =
    .address = { -shop } · 12 Harbour Lane · Bristol
    .marketing = Vous recevez ce message parce que vous avez demandé nos nouvelles.
    .unsubscribe = Se désabonner

# Un intitulé et ce qu’il désigne, en texte brut.
line = { $label } : { $value }

word =
    .order = Commande
    .carrier = Transporteur
    .shipped-on = Expédiée le
    .expected-on = Livraison prévue
    .total = Total

order-placed =
    .subject = Merci pour votre commande { $order_id }
    .preheader = { $count ->
        [one] Nous préparons votre article.
       *[other] Nous préparons vos { $count } articles.
    }
    .headline = Merci pour votre commande
    .body = Nous avons bien reçu votre commande { $order_id } le { $date } et la préparons déjà. Vous recevrez un message dès qu’elle partira.
    .action = Voir ma commande
    .push-title = Merci pour votre commande
    .push-body = Nous préparons votre commande { $order_id } d’un montant de { $total }.

order-shipped =
    .subject = Votre commande { $order_id } est en route
    .preheader = { $carrier } a pris en charge votre colis.
    .headline = Votre colis est en route
    .body = Bonne nouvelle ! Votre commande { $order_id } a été expédiée et confiée à { $carrier }.
    .action = Suivre mon colis
    .sms = { -shop } : votre commande { $order_id } est en route avec { $carrier }.
    .sms-track = Suivi :
    .push-title = Votre colis est en route
    .push-body = La commande { $order_id } a été confiée à { $carrier }.

payment-failed =
    .subject = Le paiement de votre commande { $order_id } n’a pas abouti
    .preheader = Une minute suffit pour réessayer.
    .headline = Votre paiement n’a pas abouti
    .body = Nous n’avons pas pu encaisser { $amount } pour votre commande { $order_id }. La cause est souvent une carte expirée ou un plafond atteint. Aucun montant n’a été débité.
    .reserved = Vos articles vous sont réservés jusqu’au { $until }.
    .action = Réessayer
    .push-title = Votre paiement n’a pas abouti
    .push-body = { $amount } pour la commande { $order_id } n’ont pas pu être encaissés. Touchez pour réessayer.

password-reset =
    .subject = Réinitialisez votre mot de passe
    .preheader = { $minutes ->
        [one] Le lien est valable { $minutes } minute.
       *[other] Le lien est valable { $minutes } minutes.
    }
    .headline = Choisissez un nouveau mot de passe
    .body = Quelqu’un, vous sans doute, a demandé à réinitialiser le mot de passe de votre compte. { $minutes ->
        [one] Le lien ci-dessous est valable { $minutes } minute.
       *[other] Le lien ci-dessous est valable { $minutes } minutes.
    }
    .action = Choisir un mot de passe
    .ignore = Si vous n’êtes pas à l’origine de cette demande, ignorez ce message : votre mot de passe ne change pas.

one-time-password =
    .subject = { $code } est votre code de connexion
    .preheader = { $minutes ->
        [one] Valable { $minutes } minute.
       *[other] Valable { $minutes } minutes.
    }
    .headline = Votre code de connexion
    .body = { $minutes ->
        [one] Saisissez ce code pour vous connecter. Il est valable { $minutes } minute.
       *[other] Saisissez ce code pour vous connecter. Il est valable { $minutes } minutes.
    }
    .warning = Ne communiquez ce code à personne. Nous ne vous le demanderons jamais.
    .sms = { $code } est votre code { -shop }, valable { $minutes } min. Ne le communiquez à personne.

price-drop =
    .subject = { $product } : maintenant à { $new }
    .preheader = Un article que vous aviez repéré coûte moins cher.
    .body = Vous aviez repéré { $product }. Son prix vient de baisser.
    .action = Revoir l’article
    .push-title = { $product } : le prix baisse
    .push-body = { $new } au lieu de { $old }. Jetez-y un œil.

wishlist-digest =
    .subject = { $count ->
        [one] Un prix a baissé dans votre liste d’envies
       *[other] { $count } prix ont baissé dans votre liste d’envies
    }
    .preheader = Les nouvelles du jour des articles que vous aimez.
    .headline = Votre liste d’envies aujourd’hui
    .body = { $count ->
        [one] Un article de votre liste d’envies coûte moins cher.
       *[other] { $count } articles de votre liste d’envies coûtent moins cher.
    }

back-in-stock =
    .subject = { $product } est de retour
    .preheader = Vous nous aviez demandé de vous prévenir.
    .headline = { $product } est de retour
    .body = Vous nous aviez demandé de vous prévenir dès son retour en stock : c’est chose faite.
    .stock = { $count ->
        [one] Il n’en reste qu’un exemplaire.
       *[other] Il y en a { $count } exemplaires.
    }
    .action = En profiter
    .push-title = De retour en stock
    .push-body = { $product } est de nouveau disponible.

weekly-deals =
    .subject = { $count ->
        [one] Une bonne affaire pour la maison cette semaine
       *[other] { $count } bonnes affaires pour la maison cette semaine
    }
    .preheader = Seulement jusqu’au { $until }.
    .headline = Les bonnes affaires de la semaine
    .body = Choisies une à une pour vous, et valables jusqu’au { $until }.
