//! The examples below the options in `--help`. A test parses each line.

macro_rules! examples {
    ($($name:ident: $($line:literal),+;)+) => {
        $(pub(super) const $name: &str = concat!("Examples:", $("\n  ", $line),+);)+
    };
}

examples! {
    CARILLON:
        "carillon",
        "carillon dev --listen localhost:9000",
        "carillon send --type OrderShipped --user u-42 --data '{\"order_id\":\"1001\",\"carrier\":\"DHL\"}'",
        "carillon deliveries list --status dead_lettered",
        "carillon --config /etc/carillon.toml config check";
    DEV:
        "carillon dev",
        "carillon dev --data-dir /var/tmp/carillon --listen localhost:9000 --simulator-listen localhost:9001",
        "carillon dev --json --without worker";
    ALL: "carillon all --config /etc/carillon.toml", "carillon all --set http.listen=0.0.0.0:8080";
    GATEWAY: "carillon gateway --config /etc/carillon.toml", "carillon gateway --set http.listen=0.0.0.0:8080";
    ROUTER: "carillon router --config /etc/carillon.toml";
    WORKER: "carillon worker --channel email", "carillon worker --channel sms --set http.listen=localhost:8082";
    TEMPLATES: "carillon templates --set http.listen=localhost:8083";
    TRACKER: "carillon tracker --config /etc/carillon.toml";
    SCHEDULER: "carillon scheduler --config /etc/carillon.toml";
    SIMULATOR: "carillon simulator --set simulator.listen=localhost:8081";
    SEND:
        "carillon send --type OrderShipped --user u-42 --data '{\"order_id\":\"1001\",\"carrier\":\"DHL\"}'",
        "carillon send --type OrderShipped --user u-42 --sendat 2027-01-01T08:00:00Z --data '{\"order_id\":\"1001\",\"carrier\":\"DHL\"}'",
        "carillon send --file events.json",
        "carillon send --file - --url https://carillon.example --key \"$KEY\" < events.json";
    SIMULATE:
        "carillon simulate --type OrderShipped --user u-42 --data '{\"order_id\":\"1001\",\"carrier\":\"DHL\"}' --messages",
        "carillon simulate --file event.json --at 2026-11-28T02:00:00Z",
        "carillon simulate --type WeeklyDeals --user u-42 --as-if-preferences '{\"global\":{\"email\":true}}' --as-if-catalog examples/shop";
    EVENTS: "carillon events get order-1001-shipped", "carillon events get order-1001-shipped --source /shop/orders --json";
    ACTIVITY:
        "carillon activity ada@example.com",
        "carillon activity --outcome not_sent --from 2026-11-24",
        "carillon activity --user u-42 --reason no_address --json";
    DECISIONS:
        "carillon decisions --user u-42",
        "carillon decisions --reason opted_out_type --reason not_opted_in --from 2026-11-24 --json";
    EVENTS_CANCEL: "carillon events cancel order-1001-shipped", "carillon events cancel order-1001-shipped --source /shop/orders --json";
    DELIVERIES: "carillon deliveries list", "carillon deliveries get 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10";
    DELIVERIES_LIST:
        "carillon deliveries list --status dead_lettered --channel sms",
        "carillon deliveries list --user u-42 --limit 10 --json";
    DELIVERIES_GET:
        "carillon deliveries get 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10",
        "carillon deliveries get 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10 --reveal";
    DELIVERIES_ACKNOWLEDGE: "carillon deliveries acknowledge 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10";
    DELIVERIES_CANCEL: "carillon deliveries cancel 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10";
    DLQ: "carillon dlq list --state open", "carillon dlq replay --fingerprint 9f86d081884c7d65 --dry-run", "carillon dlq get 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10";
    DLQ_LIST: "carillon dlq list --state open", "carillon dlq list --channel sms --code 21612 --json";
    DLQ_GROUPS: "carillon dlq groups", "carillon dlq groups --ignored", "carillon dlq groups set 9f86d081884c7d65 --owner 'team checkout'";
    DLQ_GROUPS_GET: "carillon dlq groups get 9f86d081884c7d65", "carillon dlq groups get 9f86d081884c7d65 --json";
    DLQ_GROUPS_SET:
        "carillon dlq groups set 9f86d081884c7d65 --owner 'team checkout' --note 'template 7 is in review'",
        "carillon dlq groups set 9f86d081884c7d65 --ignore";
    DLQ_GROUPS_PLAN:
        "carillon dlq groups plan 9f86d081884c7d65 --template OrderShipped/email",
        "carillon dlq groups plan 9f86d081884c7d65 --account twilio --canary 50 --canary-tolerance 4";
    DLQ_GROUPS_CANCEL_PLAN: "carillon dlq groups cancel-plan 9f86d081884c7d65";
    DLQ_REPLAY:
        "carillon dlq replay 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10",
        "carillon dlq replay --fingerprint 9f86d081884c7d65 --dry-run",
        "carillon dlq replay --fingerprint 9f86d081884c7d65 --note 'template 7 is fixed' --rate 50 --wait",
        "carillon dlq replay --fingerprint 9f86d081884c7d65 --canary --wait",
        "carillon dlq replay --channel email --class render --from 2026-11-24T10:00:00Z --canary=50 --canary-tolerance 4";
    DLQ_EDIT:
        "carillon dlq edit 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10 --replace /data/carrier=DHL",
        "carillon dlq edit 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10 --patch '[{\"op\":\"remove\",\"path\":\"/recipients/1\"}]' --dry-run",
        "carillon dlq edit 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10 --event mended.json --yes --wait";
    DLQ_DISCARD:
        "carillon dlq discard 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10 --note 'the order was cancelled'",
        "carillon dlq discard --channel events --code malformed-json --dry-run";
    DLQ_JOBS: "carillon dlq jobs", "carillon dlq jobs 01939c2e-7d5b-7c3e-9d0a-6f0b1c2d3e4f --json";
    DLQ_PAUSE: "carillon dlq pause 01939c2e-7d5b-7c3e-9d0a-6f0b1c2d3e4f";
    DLQ_RESUME: "carillon dlq resume 01939c2e-7d5b-7c3e-9d0a-6f0b1c2d3e4f";
    DLQ_CANCEL: "carillon dlq cancel 01939c2e-7d5b-7c3e-9d0a-6f0b1c2d3e4f";
    DLQ_GET:
        "carillon dlq get 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10",
        "carillon dlq get 6f1d51c8-9e0f-5a7b-8a53-0c8b7f5f3a10 --reveal --json";
    SUPPRESSIONS: "carillon suppressions list", "carillon suppressions import former-provider.csv";
    SUPPRESSIONS_LIST:
        "carillon suppressions list",
        "carillon suppressions list --channel sms --reason opted_out --limit 500 --json";
    SUPPRESSIONS_ADD:
        "carillon suppressions add email ada@example.com --note 'asked us by phone'",
        "carillon suppressions add sms +4915112345678 --expires-at 2027-06-01";
    SUPPRESSIONS_REMOVE: "carillon suppressions remove sms +4915112345678";
    SUPPRESSIONS_IMPORT: "carillon suppressions import former-provider.csv", "carillon suppressions import - --json < former-provider.csv";
    CATALOG: "carillon catalog apply examples/shop", "carillon catalog apply examples/shop --tenant acme --data-dir /var/tmp/carillon";
    SOURCE: "carillon source try examples/orders examples/orders/records/debezium.tsv --topic shop.public.orders";
    SOURCE_OUTBOX:
        "carillon source outbox --ddl --table shop.carillon_outbox | psql shop",
        "carillon source outbox --database-url postgres://shop@db/shop --table shop.carillon_outbox --url https://carillon.example";
    SOURCE_TRY:
        "carillon source try examples/orders examples/orders/records/debezium.tsv --topic shop.public.orders",
        "carillon source try examples/orders - --topic shop.outbox.order --json < examples/orders/records/outbox.tsv";
    USERS: "carillon users import examples/shop/users";
    KEYS: "carillon keys create 'order service' --role operator", "carillon keys list";
    KEYS_CREATE:
        "carillon keys create 'order service' --role operator",
        "carillon keys create dashboard --role viewer --tenant acme --json";
    KEYS_LIST: "carillon keys list", "carillon keys list --tenant acme --json", "carillon keys list --data-dir /var/tmp/carillon";
    KEYS_REVOKE: "carillon keys revoke 01939c2e-7d5b-7c3e-9d0a-6f0b1c2d3e4f --tenant acme";
    TOPICS: "carillon topics create --set kafka.brokers=localhost:9092";
    BOOKS: "carillon books show", "carillon books accept --events 18 --deliveries 3 --by Ada --reason 'restored from the dump of 12:00'";
    BOOKS_SHOW: "carillon books show", "carillon books show --json --config /etc/carillon.toml";
    BOOKS_ACCEPT:
        "carillon books accept --events 18 --deliveries 3 --by Ada --reason 'restored from the dump of 12:00'",
        "carillon books accept --events -2 --deliveries 0 --by Ada --reason 'two of them were decided after all'";
    READ_MODEL: "carillon read-model rebuild --config /etc/carillon.toml";
    CONFIG: "carillon config check", "carillon config check --config /etc/carillon.toml --set shutdown.grace=30s";
    DOCTOR: "carillon doctor", "carillon doctor --data-dir /var/tmp/carillon", "carillon doctor --json --config /etc/carillon.toml";
    READY: "carillon ready", "carillon ready --url http://router:8080";
    SETUP: "carillon setup examples/shop", "carillon setup examples/shop --config /etc/carillon.toml";
    SECRETS: "carillon secrets /secrets --owner 10001";
    COMPLETIONS:
        "carillon completions bash > ~/.local/share/bash-completion/completions/carillon",
        "carillon completions zsh > ~/.zfunc/_carillon",
        "carillon completions fish > ~/.config/fish/completions/carillon.fish";
}
