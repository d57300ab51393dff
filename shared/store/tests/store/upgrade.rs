//! Upgrades: the new release's `setup` migrates while roles of the release before still run, and may start again. So a
//! migration only adds; what nobody uses any more goes a release later.

use std::{collections::BTreeMap, sync::Arc};

use carillon_domain::SystemClock;
use carillon_store::{Store, StoreConfig, schema};
use secrecy::ExposeSecret as _;
use sqlx::{
    Connection as _, PgConnection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions,
};

use crate::support::postgres_url;

static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static READ_MODEL: Migrator = sqlx::migrate!("./migrations/sqlite-read-model");

/// What the statements of a release rely on: each column with its type, whether it has to be given a value, and what is
/// unique.
#[derive(Debug, Default, PartialEq)]
struct Shape {
    /// By table and column.
    columns: BTreeMap<(String, String), Column>,
    /// Tables, and the columns that are unique in them.
    unique: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    kind: String,
    is_required: bool,
}

impl Shape {
    /// What would break statements that were written for this shape, if the schema became the other.
    fn broken_by(&self, newer: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for ((table, name), column) in &self.columns {
            match newer.columns.get(&(table.clone(), name.clone())) {
                None => broken.push(format!("{table}.{name} is gone")),
                Some(now) if now.kind != column.kind => {
                    broken.push(format!("{table}.{name} is a {}", now.kind));
                }
                Some(now) if now.is_required && !column.is_required => {
                    broken.push(format!("{table}.{name} has to be given"));
                }
                Some(_) => {}
            }
        }
        let is_old = |table: &String| self.columns.keys().any(|(known, _)| known == table);
        for ((table, name), column) in &newer.columns {
            if column.is_required
                && is_old(table)
                && !self.columns.contains_key(&(table.clone(), name.clone()))
            {
                broken.push(format!("{table}.{name} is new and has to be given"));
            }
        }
        for (table, columns) in &newer.unique {
            if is_old(table) && !self.unique.contains(&(table.clone(), columns.clone())) {
                broken.push(format!("{table} ({columns}) is unique"));
            }
        }
        // Targets of `ON CONFLICT`.
        for (table, columns) in &self.unique {
            if !newer.unique.contains(&(table.clone(), columns.clone())) {
                broken.push(format!("{table} ({columns}) is not unique any more"));
            }
        }
        broken
    }
}

/// Rows of a shape's query: table, column, type, whether it has to be given.
type Columns = Vec<(String, String, String, bool)>;

fn shape(columns: Columns, unique: Vec<(String, String)>) -> Shape {
    let columns = columns.into_iter();
    Shape {
        columns: columns
            .map(|(table, name, kind, is_required)| ((table, name), Column { kind, is_required }))
            .collect(),
        unique,
    }
}

async fn postgres_shape(connection: &mut PgConnection) -> Shape {
    let columns = sqlx::query_as(
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO' AND column_default IS NULL
        FROM information_schema.columns WHERE table_schema = current_schema()",
    );
    let unique = sqlx::query_as(
        "SELECT i.indrelid::regclass::text,
            (SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_attribute AS a
                WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey))
                || coalesce(' where ' || pg_get_expr(i.indpred, i.indrelid), '')
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
        WHERE i.indisunique AND c.relnamespace = current_schema()::regnamespace",
    );
    shape(
        columns.fetch_all(&mut *connection).await.unwrap(),
        unique.fetch_all(&mut *connection).await.unwrap(),
    )
}

async fn sqlite_shape(connection: &mut SqliteConnection) -> Shape {
    let columns = sqlx::query_as(
        "SELECT t.name, c.name, c.type, c.\"notnull\" = 1 AND c.dflt_value IS NULL
        FROM sqlite_master AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'",
    );
    let unique = sqlx::query_as(
        "SELECT t.name, (SELECT group_concat(k.name, ',') FROM pragma_index_info(i.name) AS k) || CASE i.partial
            WHEN 1 THEN ' where …' ELSE '' END
        FROM sqlite_master AS t, pragma_index_list(t.name) AS i WHERE t.type = 'table' AND i.\"unique\" = 1",
    );
    shape(
        columns.fetch_all(&mut *connection).await.unwrap(),
        unique.fetch_all(&mut *connection).await.unwrap(),
    )
}

/// The version of the newest migration, and of the one before it.
fn newest(migrations: &Migrator) -> (i64, i64) {
    let mut versions: Vec<i64> = migrations.iter().map(|migration| migration.version).collect();
    versions.sort_unstable();
    let newest = versions.pop().unwrap();
    (newest, versions.pop().unwrap())
}

/// What the release before the newest migration does to the tables that the migration changes: statements that write,
/// then one that reads `version`. They are replaced when a migration is added (`git show HEAD:…` has them).
const BEFORE: [&str; 3] = [
    "INSERT INTO catalogs (tenant, version, document, updated_at) VALUES ($1, 0, '{}', '2026-11-24T10:00:00Z')
    ON CONFLICT (tenant) DO UPDATE SET tenant = excluded.tenant",
    "UPDATE catalogs SET version = version + 1, document = '{\"types\":{}}', updated_at = '2026-11-24T10:00:00Z'
    WHERE tenant = $1",
    "SELECT version FROM catalogs WHERE tenant = $1",
];

/// Runs the statements for a tenant; the version that they read.
macro_rules! run_before {
    ($connection:expr, $tenant:expr) => {{
        let [insert, update, select] = BEFORE;
        for statement in [insert, update] {
            sqlx::query(statement)
                .bind($tenant)
                .execute(&mut $connection)
                .await
                .unwrap();
        }
        let version: i64 = sqlx::query_scalar(select)
            .bind($tenant)
            .fetch_one(&mut $connection)
            .await
            .unwrap();
        version
    }};
}

/// The statements before and after the newest migration, for a tenant that was there and for one that comes later. What
/// the migration broke, by the shapes.
macro_rules! upgrade {
    ($connection:expr, $migrations:expr, $shape:ident, $has_statements:expr) => {{
        let (newest, before) = newest(&$migrations);
        $migrations.run_to(before, &mut $connection).await.unwrap();
        let former = $shape(&mut $connection).await;
        if $has_statements {
            assert_eq!(run_before!($connection, "old"), 1);
        }
        $migrations.run_to(newest, &mut $connection).await.unwrap();
        let broken = former.broken_by(&$shape(&mut $connection).await);
        assert_eq!(
            broken,
            Vec::<String>::new(),
            "migration {newest} breaks the release before"
        );
        if $has_statements {
            assert_eq!(run_before!($connection, "old"), 2);
            assert_eq!(run_before!($connection, "new"), 1);
        }
    }};
}

async fn sqlite(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test]
async fn the_release_before_reads_and_writes_on_the_newest_schema_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = sqlite(&folder.path().join("store.db")).await;
    upgrade!(store, SQLITE, sqlite_shape, true);
    let mut model = sqlite(&folder.path().join("store.read-model.db")).await;
    upgrade!(model, READ_MODEL, sqlite_shape, false);
    store.close().await.unwrap();
    model.close().await.unwrap();
    reads_both(&StoreConfig::sqlite(&folder.path().join("store.db"))).await;
}

#[tokio::test]
async fn the_release_before_reads_and_writes_on_the_newest_schema_of_postgres() {
    let Some(url) = postgres_url() else { return };
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let own = schema::create(&url, &name).await.unwrap();
    let mut connection = PgConnection::connect(own.expose_secret()).await.unwrap();
    upgrade!(connection, POSTGRES, postgres_shape, true);
    connection.close().await.unwrap();
    reads_both(&StoreConfig::new(own)).await;
    schema::remove(&url, &name).await.unwrap();
}

/// The new release reads what the one before wrote, on either schema.
async fn reads_both(config: &StoreConfig) {
    let store = Store::connect(config, Arc::new(SystemClock)).await.unwrap();
    for (tenant, version) in [("old", 2), ("new", 1)] {
        let catalog = store.catalog().get(&tenant.into()).await.unwrap().unwrap();
        assert_eq!(catalog.version, version);
    }
    store.close().await;
}

/// A migration of a release that this one does not know.
const LATER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (9999, 'of a later release', true, $1, 0)";

#[tokio::test]
async fn a_role_starts_again_on_sqlite_that_a_newer_release_has_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::sqlite(&folder.path().join("store.db"));
    opens(&config).await;
    for name in ["store.db", "store.read-model.db"] {
        let mut file = sqlite(&folder.path().join(name)).await;
        sqlx::query(LATER)
            .bind(vec![0_u8])
            .execute(&mut file)
            .await
            .unwrap();
        file.close().await.unwrap();
    }
    opens(&config).await;
}

/// A role of the release before that ends while the upgrade is under way has to come back.
async fn opens(config: &StoreConfig) {
    let store = Store::connect(config, Arc::new(SystemClock)).await.unwrap();
    store.check().await.unwrap();
    store.close().await;
}

#[test]
fn a_shape_tells_what_would_break_the_release_before() {
    let column = |table: &str, name: &str, kind: &str, is_required| {
        (table.to_owned(), name.to_owned(), kind.to_owned(), is_required)
    };
    let unique = |table: &str, columns: &str| vec![(table.to_owned(), columns.to_owned())];
    let former = shape(
        vec![
            column("a", "id", "text", true),
            column("a", "note", "text", false),
            column("b", "id", "text", true),
        ],
        unique("a", "id"),
    );
    let expanded = shape(
        vec![
            column("a", "id", "text", true),
            column("a", "note", "text", false),
            column("a", "more", "text", false),
            column("b", "id", "text", true),
            column("c", "id", "text", true),
        ],
        unique("a", "id"),
    );
    assert_eq!(former.broken_by(&expanded), Vec::<String>::new());
    let contracted = shape(
        vec![
            column("a", "id", "bigint", true),
            column("a", "must", "text", true),
            column("b", "id", "text", true),
        ],
        unique("b", "id"),
    );
    assert_eq!(
        former.broken_by(&contracted),
        [
            "a.id is a bigint",
            "a.note is gone",
            "a.must is new and has to be given",
            "b (id) is unique",
            "a (id) is not unique any more",
        ]
    );
}
