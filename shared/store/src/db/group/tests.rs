use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::*;

impl Turn {
    fn connection(&mut self) -> &mut sqlx::SqliteConnection {
        match self.conn() {
            Conn::Sqlite(connection, _) => connection,
            Conn::Postgres(..) => panic!("SQLite's turn"),
        }
    }
}

async fn group() -> (Group, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new()
        .filename(folder.path().join("t.db"))
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(file)
        .await
        .unwrap();
    sqlx::query("CREATE TABLE t (n INTEGER, filler BLOB)")
        .execute(&pool)
        .await
        .unwrap();
    let commits = Commits::new("sqlite", "test");
    (
        Group::new(pool, Duration::from_secs(5), commits).await.unwrap(),
        folder,
    )
}

async fn write(turn: &mut Turn, n: i64, filler: usize) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO t VALUES ($1, zeroblob($2))")
        .bind(n)
        .bind(i64::try_from(filler).unwrap())
        .execute(turn.connection())
        .await?;
    Ok(())
}

/// Writes in a task, when its turn comes.
fn write_later(group: &Group, n: i64, size: Size) -> tokio::task::JoinHandle<Result<(), StoreError>> {
    let group = group.clone();
    tokio::spawn(async move {
        let mut turn = group.all_or_nothing(size).await?;
        write(&mut turn, n, 0).await?;
        turn.commit().await
    })
}

async fn numbers(group: &Group) -> Vec<i64> {
    let mut turn = group.turn(Size::Large).await.unwrap();
    let numbers = sqlx::query_scalar("SELECT n FROM t ORDER BY n")
        .fetch_all(turn.connection())
        .await
        .unwrap();
    turn.commit().await.unwrap();
    numbers
}

#[tokio::test]
async fn turns_that_wait_for_one_another_share_a_transaction() {
    let (group, _folder) = group().await;
    let first = group.all_or_nothing(Size::Small).await.unwrap();
    let others: Vec<_> = (0..20).map(|n| write_later(&group, n, Size::Small)).collect();
    tokio::task::yield_now().await;
    first.commit().await.unwrap();
    let open = group.0.writer.lock().await.transaction;
    assert_eq!(open, Transaction::None, "one commit for all");
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(numbers(&group).await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_small_turn_goes_before_large_ones_but_for_the_first_in_the_queue() {
    let (group, _folder) = group().await;
    let first = group.all_or_nothing(Size::Large).await.unwrap();
    let mut large = Vec::new();
    for n in 0..5 {
        large.push(write_later(&group, n, Size::Large));
        tokio::task::yield_now().await;
    }
    let small = write_later(&group, 100, Size::Small);
    tokio::task::yield_now().await;
    first.commit().await.unwrap();
    small.await.unwrap().unwrap();
    for large in large {
        large.await.unwrap().unwrap();
    }
    let mut turn = group.turn(Size::Small).await.unwrap();
    let order: Vec<i64> = sqlx::query_scalar("SELECT n FROM t ORDER BY rowid")
        .fetch_all(turn.connection())
        .await
        .unwrap();
    assert_eq!(order, [0, 100, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_small_turn_is_committed_while_a_large_one_is_under_way_behind_it() {
    let (group, _folder) = group().await;
    let first = group.all_or_nothing(Size::Large).await.unwrap();
    tokio::task::yield_now().await;
    let small = write_later(&group, 1, Size::Small);
    tokio::task::yield_now().await;
    let (end, ended) = oneshot::channel::<()>();
    let held = tokio::spawn({
        let group = group.clone();
        async move {
            let turn = group.all_or_nothing(Size::Large).await?;
            let _ = ended.await;
            turn.commit().await
        }
    });
    tokio::task::yield_now().await;
    let first = tokio::spawn(first.commit());
    let small = tokio::time::timeout(Duration::from_secs(10), small);
    small.await.unwrap().unwrap().unwrap();
    first.await.unwrap().unwrap();
    end.send(()).unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(numbers(&group).await, [1]);
}

#[tokio::test]
async fn a_small_turn_whose_caller_goes_away_while_it_commits_is_committed() {
    let (group, _folder) = group().await;
    let mut turn = group.all_or_nothing(Size::Small).await.unwrap();
    write(&mut turn, 1, 0).await.unwrap();
    {
        let commit = turn.commit();
        tokio::pin!(commit);
        assert!(futures::poll!(&mut commit).is_pending());
    }
    let mut after = group.all_or_nothing(Size::Small).await.unwrap();
    write(&mut after, 2, 0).await.unwrap();
    after.commit().await.unwrap();
    assert_eq!(numbers(&group).await, [1, 2]);
}

#[tokio::test]
async fn one_statement_that_nobody_waits_behind_commits_itself() {
    let (group, _folder) = group().await;
    let mut turn = group.turn(Size::Large).await.unwrap();
    write(&mut turn, 1, 0).await.unwrap();
    assert_eq!(turn.writer.transaction, Transaction::None);
    drop(turn);
    assert_eq!(numbers(&group).await, [1]);
}

#[tokio::test]
async fn what_is_not_committed_is_undone_and_its_neighbours_are_not() {
    let (group, _folder) = group().await;
    let mut kept = group.all_or_nothing(Size::Large).await.unwrap();
    write(&mut kept, 1, 0).await.unwrap();
    let kept = tokio::spawn(kept.commit());
    let mut undone = group.all_or_nothing(Size::Large).await.unwrap();
    write(&mut undone, 2, 0).await.unwrap();
    drop(undone);
    let mut after = group.all_or_nothing(Size::Large).await.unwrap();
    write(&mut after, 3, 0).await.unwrap();
    after.commit().await.unwrap();
    kept.await.unwrap().unwrap();
    assert_eq!(numbers(&group).await, [1, 3]);
}

#[tokio::test]
async fn a_disk_that_was_full_fails_who_wrote_and_nobody_later() {
    let (group, _folder) = group().await;
    let mut turn = group.turn(Size::Large).await.unwrap();
    sqlx::query("PRAGMA max_page_count = 20")
        .execute(turn.connection())
        .await
        .unwrap();
    turn.commit().await.unwrap();
    let mut full = group.all_or_nothing(Size::Large).await.unwrap();
    assert!(write(&mut full, 1, 1 << 20).await.is_err());
    drop(full);
    let mut after = group.all_or_nothing(Size::Large).await.unwrap();
    write(&mut after, 2, 10).await.unwrap();
    after.commit().await.unwrap();
    assert_eq!(numbers(&group).await, [2]);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_fails_all_of_its_group_and_no_later_one() {
    let (group, _folder) = group().await;
    let mut lost = group.all_or_nothing(Size::Large).await.unwrap();
    write(&mut lost, 1, 0).await.unwrap();
    let lost = tokio::spawn(lost.commit());
    let mut ended = group.turn(Size::Large).await.unwrap();
    sqlx::query("ROLLBACK").execute(ended.connection()).await.unwrap();
    assert!(ended.commit().await.is_err());
    assert!(lost.await.unwrap().is_err());
    let mut after = group.turn(Size::Large).await.unwrap();
    write(&mut after, 2, 0).await.unwrap();
    after.commit().await.unwrap();
    assert_eq!(numbers(&group).await, [2]);
}

#[tokio::test]
async fn who_asked_before_it_is_closed_has_their_turn() {
    let (group, folder) = group().await;
    let first = group.all_or_nothing(Size::Large).await.unwrap();
    let mut large = Vec::new();
    for n in 0..5 {
        large.push(write_later(&group, n, Size::Large));
        tokio::task::yield_now().await;
    }
    let closed = tokio::spawn({
        let group = group.clone();
        async move { group.close().await }
    });
    tokio::task::yield_now().await;
    first.commit().await.unwrap();
    for large in large {
        large.await.unwrap().unwrap();
    }
    closed.await.unwrap();
    let file = SqliteConnectOptions::new().filename(folder.path().join("t.db"));
    let pool = SqlitePoolOptions::new().connect_with(file).await.unwrap();
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM t")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(written, 5);
}

#[tokio::test]
async fn a_full_disk_is_named_and_remembered_until_a_write_is_taken_again() {
    let (group, _folder) = group().await;
    let run = async |sql: &'static str| {
        let mut turn = group.turn(Size::Small).await?;
        let Conn::Sqlite(connection, writer) = turn.conn() else {
            panic!("SQLite's turn")
        };
        super::super::note(writer, sqlx::query(sql).execute(connection).await)?;
        turn.commit().await
    };
    run("PRAGMA max_page_count = 10").await.unwrap();
    for _ in 0..2 {
        let full = run("INSERT INTO t VALUES (1, zeroblob(1000000))")
            .await
            .unwrap_err();
        assert_eq!(full.to_string(), "the database's disk is full");
        assert!(full.is_retriable() && full.retry_after().is_some());
        assert_eq!(group.health().fault(), Some(crate::Fault::DiskFull));
    }
    run("PRAGMA max_page_count = 10000").await.unwrap();
    run("INSERT INTO t VALUES (1, zeroblob(1000000))").await.unwrap();
    assert_eq!(group.health().fault(), None);
}
