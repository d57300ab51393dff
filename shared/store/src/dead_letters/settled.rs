//! The states of letters after their verdicts.

use carillon_domain::{TenantId, dead_letter::LetterVerdict, status::VerdictGiven};
use uuid::Uuid;

use crate::{
    db::{Input, Tx},
    error::StoreError,
};

/// A verdict about a letter of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) tenant: TenantId,
    pub(crate) letter_id: Uuid,
    pub(crate) verdict: LetterVerdict,
}

impl From<&VerdictGiven> for Settled {
    fn from(given: &VerdictGiven) -> Self {
        Self {
            tenant: given.tenant.clone(),
            letter_id: given.letter_id,
            verdict: given.verdict,
        }
    }
}

/// Moves open letters to the states of their verdicts. A letter that is not there yet finds its verdict when it comes.
pub(crate) async fn settle(tx: &mut Tx, settled: &[Settled]) -> Result<(), StoreError> {
    let mut settled: Vec<&Settled> = settled.iter().collect();
    settled.sort_by_key(|settled| settled.letter_id);
    settled.dedup_by_key(|settled| settled.letter_id);
    Input::new(settled.len())
        .uuid("letter", settled.iter().map(|settled| settled.letter_id))
        .text("tenant", settled.iter().map(|settled| settled.tenant.as_str()))
        .text(
            "state",
            settled.iter().map(|settled| <&str>::from(settled.verdict)),
        )
        .execute(
            tx.conn(),
            "UPDATE dead_letters AS d SET state = i.state FROM input AS i
            WHERE d.id = i.letter AND d.tenant = i.tenant AND d.state = 'open'",
        )
        .await?;
    Ok(())
}
