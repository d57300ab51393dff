order-shipped =
    .subject = Order { $order_id } is on its way
    .text = Your order { $order_id } was handed to { $carrier }.
