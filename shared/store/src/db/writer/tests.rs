use carillon_runtime::inbox::SMALL;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::task::{JoinHandle, yield_now};

use super::*;

const FEW: usize = 1;
const MANY: usize = SMALL + 1;

impl Turn {
    fn connection(&mut self) -> &mut SqliteConnection {
        match self.conn() {
            Conn::Sqlite(connection, _) => connection,
            Conn::Postgres(..) => panic!("SQLite's turn"),
        }
    }

    fn is_alone(&self) -> bool {
        self.lent.as_ref().unwrap().is_alone
    }
}

impl Writer {
    async fn one(&self, rows: usize) -> Result<Turn, StoreError> {
        self.turn(Arc::new((rows, Statements::One))).await
    }

    async fn several(&self, rows: usize) -> Result<Turn, StoreError> {
        self.turn(Arc::new((rows, Statements::Several))).await
    }
}

async fn writer() -> (Writer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new()
        .filename(folder.path().join("t.db"))
        .create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    sqlx::query("CREATE TABLE t (n INTEGER, filler BLOB)")
        .execute(&mut connection)
        .await
        .unwrap();
    let commits = Commits::new("sqlite", "test");
    (Writer::spawn(connection, Duration::from_secs(5), commits), folder)
}

async fn write(turn: &mut Turn, n: i64, filler: usize) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO t VALUES ($1, zeroblob($2))")
        .bind(n)
        .bind(i64::try_from(filler).unwrap())
        .execute(turn.connection())
        .await?;
    Ok(())
}

/// Asks for a turn in a task, and writes when it comes.
async fn write_later(writer: &Writer, n: i64, rows: usize) -> JoinHandle<Result<(), StoreError>> {
    then(writer, rows, async move |mut turn| {
        write(&mut turn, n, 0).await?;
        turn.commit().await
    })
    .await
}

/// Asks for a turn of several statements in a task. The request waits on return.
async fn then<F>(
    writer: &Writer,
    rows: usize,
    work: impl FnOnce(Turn) -> F + Send + 'static,
) -> JoinHandle<Result<(), StoreError>>
where
    F: Future<Output = Result<(), StoreError>> + Send,
{
    let writer = writer.clone();
    let task = tokio::spawn(async move { work(writer.several(rows).await?).await });
    yield_now().await;
    task
}

/// The numbers in the order in which they were written.
async fn numbers(writer: &Writer) -> Vec<i64> {
    let mut turn = writer.one(MANY).await.unwrap();
    let numbers = sqlx::query_scalar("SELECT n FROM t ORDER BY rowid")
        .fetch_all(turn.connection())
        .await
        .unwrap();
    turn.commit().await.unwrap();
    numbers
}

#[tokio::test]
async fn turns_that_wait_for_one_another_share_a_transaction() {
    let (writer, _folder) = writer().await;
    let first = writer.several(FEW).await.unwrap();
    let mut others = Vec::new();
    for n in 0..20 {
        others.push(write_later(&writer, n, FEW).await);
    }
    first.commit().await.unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(writer.0.health.writes(), 1, "one commit for all");
    assert_eq!(numbers(&writer).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_small_turn_goes_before_the_large_ones_that_wait() {
    let (writer, _folder) = writer().await;
    let first = writer.several(MANY).await.unwrap();
    let mut later = Vec::new();
    for n in 0..5 {
        later.push(write_later(&writer, n, MANY).await);
    }
    later.push(write_later(&writer, 100, FEW).await);
    first.commit().await.unwrap();
    for later in later {
        later.await.unwrap().unwrap();
    }
    assert_eq!(numbers(&writer).await, [100, 0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_small_turn_is_committed_while_a_large_one_is_under_way_behind_it() {
    let (writer, _folder) = writer().await;
    let first = writer.several(MANY).await.unwrap();
    let small = write_later(&writer, 1, FEW).await;
    let (end, ended) = oneshot::channel::<()>();
    let held = then(&writer, MANY, async move |turn: Turn| {
        let _ = ended.await;
        turn.commit().await
    })
    .await;
    first.commit().await.unwrap();
    let small = tokio::time::timeout(Duration::from_secs(10), small);
    small.await.unwrap().unwrap().unwrap();
    end.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(numbers(&writer).await, [1]);
}

#[tokio::test]
async fn a_finished_turn_whose_caller_goes_away_is_committed() {
    let (writer, _folder) = writer().await;
    let mut turn = writer.several(FEW).await.unwrap();
    write(&mut turn, 1, 0).await.unwrap();
    {
        let commit = turn.commit();
        tokio::pin!(commit);
        assert!(futures::poll!(&mut commit).is_pending());
    }
    write_later(&writer, 2, FEW).await.await.unwrap().unwrap();
    assert_eq!(numbers(&writer).await, [1, 2]);
}

#[tokio::test]
async fn a_caller_that_goes_away_in_any_state_delays_no_other_and_its_unfinished_writes_are_undone() {
    let (writer, _folder) = writer().await;
    let first = writer.several(FEW).await.unwrap();
    let waiting = write_later(&writer, 1, FEW).await;
    let other = write_later(&writer, 2, FEW).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    first.commit().await.unwrap();
    other.await.unwrap().unwrap();
    for in_company in [false, true] {
        let first = writer.several(FEW).await.unwrap();
        let (wrote, written) = oneshot::channel();
        let leaving = then(&writer, FEW, async move |mut turn: Turn| {
            write(&mut turn, 3, 0).await?;
            wrote.send(()).unwrap();
            std::future::pending().await
        })
        .await;
        let other = if in_company {
            Some(write_later(&writer, 4, FEW).await)
        } else {
            None
        };
        let first = tokio::spawn(first.commit());
        written.await.unwrap();
        leaving.abort();
        first.await.unwrap().unwrap();
        if let Some(other) = other {
            other.await.unwrap().unwrap();
        }
    }
    let mut statement = writer.one(FEW).await.unwrap();
    {
        // Its future is dropped while SQLite's thread runs it.
        let under_way = write(&mut statement, 5, 0);
        tokio::pin!(under_way);
        assert!(futures::poll!(&mut under_way).is_pending());
    }
    drop(statement);
    write_later(&writer, 6, FEW).await.await.unwrap().unwrap();
    let mut numbers = numbers(&writer).await;
    // A single statement is written or not.
    numbers.retain(|n| *n != 5);
    assert_eq!(numbers, [2, 4, 6]);
}

#[tokio::test]
async fn a_single_statement_without_waiting_turns_commits_itself() {
    let (writer, _folder) = writer().await;
    for rows in [FEW, MANY] {
        let mut turn = writer.one(rows).await.unwrap();
        assert!(turn.is_alone());
        write(&mut turn, 1, 0).await.unwrap();
        drop(turn);
    }
    assert_eq!(numbers(&writer).await, [1, 1]);
}

#[tokio::test]
async fn a_turn_that_is_not_committed_is_undone_and_its_neighbours_are_kept() {
    let (writer, _folder) = writer().await;
    let first = writer.several(FEW).await.unwrap();
    let mut kept = Vec::new();
    kept.push(write_later(&writer, 1, FEW).await);
    kept.push(write_later(&writer, 2, FEW).await);
    let undone = then(&writer, FEW, async |mut turn: Turn| {
        write(&mut turn, 3, 0).await?;
        Err(StoreError::Corrupt { what: "test" })
    })
    .await;
    kept.push(write_later(&writer, 4, FEW).await);
    first.commit().await.unwrap();
    assert!(undone.await.unwrap().is_err());
    for kept in kept {
        kept.await.unwrap().unwrap();
    }
    assert_eq!(numbers(&writer).await, [1, 2, 4]);
}

#[tokio::test]
async fn a_first_turn_that_is_given_up_fails_no_other() {
    let (writer, _folder) = writer().await;
    let mut first = writer.several(FEW).await.unwrap();
    write(&mut first, 1, 0).await.unwrap();
    let other = write_later(&writer, 2, FEW).await;
    drop(first);
    other.await.unwrap().unwrap();
    assert_eq!(numbers(&writer).await, [2]);
}

#[tokio::test]
async fn outcomes_that_arrive_while_the_writer_is_busy_are_one_small_write_of_its_next_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::StoreConfig::sqlite(&folder.path().join("store.db"));
    let clock = Arc::new(carillon_domain::SystemClock);
    let (db, _) = super::super::Db::connect(&config, clock).await.unwrap();
    let super::super::Pools::Sqlite { write: writer, .. } = &db.0.pools else {
        panic!("SQLite's pools")
    };
    let ledger = crate::send_ledger::SendLedger::new(db.clone());
    let busy = writer.several(MANY).await.unwrap();
    let outcome = |n: u128| {
        let key = crate::send_ledger::SendKey {
            accepted_at: db.now(),
            delivery_id: carillon_domain::DeliveryId(uuid::Uuid::from_u128(n)),
            generation: 0,
            attempt: 1,
        };
        let ledger = ledger.clone();
        let outcome = serde_json::value::to_raw_value("sent").unwrap();
        tokio::spawn(async move { ledger.record(vec![(key, outcome)]).await })
    };
    let outcomes: Vec<_> = (0..SMALL as u128).map(outcome).collect();
    let last = then(writer, MANY, Turn::commit).await;
    busy.commit().await.unwrap();
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
    last.await.unwrap().unwrap();
    assert_eq!(writer.0.health.writes(), 2, "the outcomes' and the last one's");
}

#[tokio::test]
async fn a_full_disk_fails_the_turns_that_wrote_and_no_later_ones() {
    let (writer, _folder) = writer().await;
    let mut turn = writer.one(MANY).await.unwrap();
    sqlx::query("PRAGMA max_page_count = 20")
        .execute(turn.connection())
        .await
        .unwrap();
    turn.commit().await.unwrap();
    let mut full = writer.several(MANY).await.unwrap();
    let later = write_later(&writer, 2, FEW).await;
    assert!(write(&mut full, 1, 1 << 20).await.is_err());
    drop(full);
    later.await.unwrap().unwrap();
    assert_eq!(numbers(&writer).await, [2]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_fails_all_of_its_group_and_no_later_one() {
    let (writer, _folder) = writer().await;
    let first = writer.several(FEW).await.unwrap();
    let lost = write_later(&writer, 1, FEW).await;
    let ended = then(&writer, FEW, async |mut turn: Turn| {
        sqlx::query("ROLLBACK").execute(turn.connection()).await?;
        Err(StoreError::Corrupt { what: "test" })
    })
    .await;
    let later = write_later(&writer, 2, FEW).await;
    assert!(first.commit().await.is_err());
    assert!(lost.await.unwrap().is_err());
    assert!(ended.await.unwrap().is_err());
    later.await.unwrap().unwrap();
    assert_eq!(numbers(&writer).await, [2]);
}

#[tokio::test]
async fn a_turn_requested_before_the_writer_closes_is_granted() {
    let (writer, folder) = writer().await;
    let first = writer.several(MANY).await.unwrap();
    let mut later = Vec::new();
    for n in 0..5 {
        later.push(write_later(&writer, n, MANY).await);
    }
    let closed = tokio::spawn({
        let writer = writer.clone();
        async move { writer.close().await }
    });
    yield_now().await;
    first.commit().await.unwrap();
    for later in later {
        later.await.unwrap().unwrap();
    }
    closed.await.unwrap();
    writer.close().await;
    assert!(matches!(writer.one(FEW).await, Err(StoreError::Closed)));
    let file = SqliteConnectOptions::new().filename(folder.path().join("t.db"));
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM t")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(written, 5);
}

#[tokio::test]
async fn a_full_disk_is_named_and_remembered_until_a_write_is_taken_again() {
    let (writer, _folder) = writer().await;
    let run = async |sql: &'static str| {
        let mut turn = writer.one(FEW).await?;
        let Conn::Sqlite(connection, health) = turn.conn() else {
            panic!("SQLite's turn")
        };
        super::super::note(health, sqlx::query(sql).execute(connection).await)?;
        turn.commit().await
    };
    run("PRAGMA max_page_count = 10").await.unwrap();
    for _ in 0..2 {
        let full = run("INSERT INTO t VALUES (1, zeroblob(1000000))")
            .await
            .unwrap_err();
        assert_eq!(full.to_string(), "the database's disk is full");
        assert!(full.is_retriable() && full.retry_after().is_some());
        assert_eq!(writer.0.health.fault(), Some(crate::Fault::DiskFull));
    }
    run("PRAGMA max_page_count = 10000").await.unwrap();
    run("INSERT INTO t VALUES (1, zeroblob(1000000))").await.unwrap();
    assert_eq!(writer.0.health.fault(), None);
}
