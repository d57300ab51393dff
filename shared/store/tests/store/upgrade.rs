//! Upgrades: the new release's `setup` migrates while roles of the release before still run, and may start again. So a
//! migration only adds; unused tables and columns are removed one release later.

use std::{collections::BTreeMap, sync::Arc};

use carillon_domain::SystemClock;
use carillon_store::{Store, StoreConfig, StoreError, schema};
use secrecy::ExposeSecret as _;
use sqlx::{
    Connection as _, PgConnection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions,
};

use crate::support::postgres_url;

static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static READ_MODEL: Migrator = sqlx::migrate!("./migrations/sqlite-read-model");

/// The parts of a schema on which the statements of a release rely: each column with its type and whether it requires a
/// value, and the unique constraints.
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
    /// The differences of the newer shape that break statements written for this one.
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

/// Runs the migrations one after another; asserts that none breaks the statements of the release before it.
macro_rules! upgrade {
    ($connection:expr, $migrations:expr, $shape:ident) => {{
        let mut versions: Vec<i64> = $migrations.iter().map(|migration| migration.version).collect();
        versions.sort_unstable();
        let mut former = Shape::default();
        for version in versions {
            $migrations.run_to(version, &mut $connection).await.unwrap();
            let newer = $shape(&mut $connection).await;
            let broken = former.broken_by(&newer);
            assert_eq!(
                broken,
                Vec::<String>::new(),
                "migration {version} breaks the release before"
            );
            former = newer;
        }
        assert!(!former.columns.is_empty(), "the shape was read");
    }};
}

async fn sqlite(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

#[tokio::test]
async fn no_migration_of_sqlite_breaks_the_release_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = sqlite(&folder.path().join("store.db")).await;
    upgrade!(store, SQLITE, sqlite_shape);
    let mut model = sqlite(&folder.path().join("store.read-model.db")).await;
    upgrade!(model, READ_MODEL, sqlite_shape);
    store.close().await.unwrap();
    model.close().await.unwrap();
}

#[tokio::test]
async fn no_migration_of_postgres_breaks_the_release_before_it() {
    let Some(url) = postgres_url() else { return };
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let own = schema::create(&url, &name).await.unwrap();
    let mut connection = PgConnection::connect(own.expose_secret()).await.unwrap();
    upgrade!(connection, POSTGRES, postgres_shape);
    connection.close().await.unwrap();
    schema::remove(&url, &name).await.unwrap();
}

#[tokio::test]
async fn a_schema_that_no_release_has_made_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut former = sqlite(&path).await;
    SQLITE.run(&mut former).await.unwrap();
    sqlx::raw_sql("UPDATE _sqlx_migrations SET checksum = x'00'")
        .execute(&mut former)
        .await
        .unwrap();
    former.close().await.unwrap();
    let refused = Store::connect(&StoreConfig::sqlite(&path), Arc::new(SystemClock)).await;
    assert!(matches!(refused, Err(StoreError::Unreleased)), "{refused:?}");
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
fn a_shape_names_the_changes_that_would_break_the_release_before() {
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
