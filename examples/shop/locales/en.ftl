# English: the default locale. Every text that a template uses stands here.

-shop = Lumen & Oak
brand = { -shop }

greeting = Hello,
    .named = Hello { $name },

footer =
    .address = { -shop } · 12 Harbour Lane · Bristol
    .marketing = You get this because you asked us for news.
    .unsubscribe = Unsubscribe

# A label and what it stands for, in plain text.
line = { $label }: { $value }

word =
    .order = Order
    .carrier = Carrier
    .shipped-on = Shipped on
    .expected-on = Expected on
    .total = Total

order-placed =
    .subject = Thank you for your order { $order_id }
    .preheader = { $count ->
        [one] We are packing one item for you.
       *[other] We are packing { $count } items for you.
    }
    .headline = Thank you for your order
    .body = We received your order { $order_id } on { $date } and have started to pack it. You will hear from us as soon as it is on its way.
    .action = View your order
    .push-title = Thank you for your order
    .push-body = Order { $order_id } over { $total } is being packed.

order-shipped =
    .subject = Your order { $order_id } is on its way
    .preheader = { $carrier } has picked up your parcel.
    .headline = Your parcel is on its way
    .body = Good news: we have handed your order { $order_id } over to { $carrier }.
    .action = Track your parcel
    .sms = { -shop }: your order { $order_id } is on its way with { $carrier }.
    .sms-track = Track it:
    .push-title = Your parcel is on its way
    .push-body = Order { $order_id } has been handed over to { $carrier }.

payment-failed =
    .subject = Your payment for order { $order_id } did not go through
    .preheader = It only takes a minute to try again.
    .headline = Your payment did not go through
    .body = We could not charge { $amount } for your order { $order_id }. This often happens when a card has expired or a limit has been reached. Nothing has been debited.
    .reserved = We are keeping your items for you until { $until }.
    .action = Try again
    .push-title = Your payment did not go through
    .push-body = We could not charge { $amount } for order { $order_id }. Tap to try again.

password-reset =
    .subject = Reset your password
    .preheader = { $minutes ->
        [one] The link is valid for one minute.
       *[other] The link is valid for { $minutes } minutes.
    }
    .headline = Choose a new password
    .body = Somebody, we hope it was you, asked to reset the password of your account. { $minutes ->
        [one] The link below is valid for one minute.
       *[other] The link below is valid for { $minutes } minutes.
    }
    .action = Choose a new password
    .ignore = If this was not you, you can ignore this message. Your password stays as it is.

one-time-password =
    .subject = { $code } is your sign-in code
    .preheader = { $minutes ->
        [one] Valid for one minute.
       *[other] Valid for { $minutes } minutes.
    }
    .headline = Your sign-in code
    .body = { $minutes ->
        [one] Enter this code to sign in. It is valid for one minute.
       *[other] Enter this code to sign in. It is valid for { $minutes } minutes.
    }
    .warning = Never share this code with anyone. We will never ask you for it.
    .sms = { $code } is your { -shop } code, valid for { $minutes } min. Never share it.

price-drop =
    .subject = { $product }: now { $new }
    .preheader = Something you had your eye on costs less now.
    .body = You had your eye on { $product }. It costs less now.
    .action = Have another look
    .push-title = { $product } costs less now
    .push-body = { $new } instead of { $old }. Have another look.

wishlist-digest =
    .subject = { $count ->
        [one] One price on your wish list has dropped
       *[other] { $count } prices on your wish list have dropped
    }
    .preheader = Today's news of what you have your eye on.
    .headline = Your wish list today
    .body = { $count ->
        [one] Something on your wish list costs less now.
       *[other] { $count } things on your wish list cost less now.
    }

back-in-stock =
    .subject = { $product } is back in stock
    .preheader = You asked us to tell you.
    .headline = { $product } is back
    .body = You asked us to tell you when it is available again, and now it is.
    .stock = { $count ->
        [one] There is only one left.
       *[other] There are { $count } of them.
    }
    .action = Get yours
    .push-title = Back in stock
    .push-body = { $product } is available again.

weekly-deals =
    .subject = { $count ->
        [one] One deal for your home this week
       *[other] { $count } deals for your home this week
    }
    .preheader = Only until { $until }.
    .headline = This week's deals
    .body = Picked by hand, and yours until { $until }.
