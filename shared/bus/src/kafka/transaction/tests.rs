use super::*;

fn ended() -> EndedTransaction {
    EndedTransaction {
        producer: None,
        result: Ok(()),
    }
}

/// A transaction whose thread ends after a time.
fn transactions(takes: Duration) -> (Transactions, Arc<Fate>) {
    let mut transactions = Transactions::new(ClientConfig::new(), "group");
    let fate = Arc::new(Fate::default());
    let task = tokio::spawn(async move {
        tokio::time::sleep(takes).await;
        ended()
    });
    transactions.running = Some(Running::new(task, Arc::clone(&fate)));
    (transactions, fate)
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_hangs_past_its_time_limit_is_given_up_and_never_committed() {
    let began = tokio::time::Instant::now();
    let (mut transactions, fate) = transactions(Duration::from_secs(100));
    let settled = transactions.settle().await.unwrap();
    assert!(
        matches!(&settled, Err(error @ BusError::Unavailable(_)) if error.is_retriable()),
        "{settled:?}"
    );
    assert_eq!(began.elapsed(), PATIENCE);
    assert!(!transactions.is_running());
    assert!(!fate.commit(), "its records are read again");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_being_committed_is_waited_for() {
    let (mut transactions, fate) = transactions(Duration::from_secs(100));
    assert!(fate.commit());
    transactions.settle().await.unwrap().unwrap();
    assert!(!transactions.is_running());
    assert!(!fate.give_up());
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_runs_while_no_caller_waits() {
    let (mut transactions, _) = transactions(Duration::from_secs(100));
    let impatient = tokio::time::timeout(PATIENCE / 2, transactions.settle()).await;
    assert!(impatient.is_err() && transactions.is_running());
    tokio::time::advance(PATIENCE / 2).await;
    assert!(transactions.settle().await.unwrap().is_err());
}
