//! Routing the records of a batch one by one, after the batch made this code panic or the database refuse a value.
//! The faulty record is thus found and becomes a dead letter; the others are routed.

use carillon_bus::{OutRecord, Record};
use carillon_domain::dead_letter::FailureClass;
use carillon_runtime::panics::{self, Panic, catch};

use crate::{
    Refused, Route, RouterError,
    incoming::{self, Reject},
    parts::{Outlet, OutputParts},
    releases::{self, Claimed},
    route::Read,
};

/// Tries of a single record.
const TRIES: u32 = 2;

/// The reason for which a record cannot be routed.
enum Fault {
    Bug(Panic),
    Refused,
}

impl Route {
    /// Like [`Route::route`], but for one record at a time.
    pub async fn route_apart(
        &self,
        records: &[Record],
        outlet: &mut dyn Outlet,
        refused: &mut Refused,
    ) -> Result<Vec<OutRecord>, RouterError> {
        let mut parts = OutputParts::new(outlet);
        for record in records {
            for out in self.alone(record, refused).await? {
                parts.push(out).await?;
            }
        }
        Ok(parts.last())
    }

    async fn alone(&self, record: &Record, refused: &mut Refused) -> Result<Vec<OutRecord>, RouterError> {
        let mut fault = Fault::Refused;
        for _ in 0..TRIES {
            let mut out: Vec<Vec<OutRecord>> = Vec::new();
            let routed = self.route(std::slice::from_ref(record), &mut out, refused);
            match catch(panics::role(), routed).await {
                Ok(Ok(last)) => {
                    out.push(last);
                    return Ok(out.into_iter().flatten().collect());
                }
                Ok(Err(RouterError::Store(error))) if error.refuses_data() => fault = Fault::Refused,
                Ok(Err(error)) => return Err(error),
                Err(panic) => fault = Fault::Bug(panic),
            }
        }
        self.put_away(record, &fault, refused).await
    }

    /// Writes the record's dead letter. If the record has an event, it is claimed, which shows whether the gateway
    /// has acknowledged it.
    async fn put_away(
        &self,
        record: &Record,
        fault: &Fault,
        refused: &mut Refused,
    ) -> Result<Vec<OutRecord>, RouterError> {
        let now = self.deps.clock.now();
        let claimed = releases::claim(&self.deps.store, std::slice::from_ref(record)).await?;
        let released = match claimed.into_iter().next() {
            Some(Claimed::Yes(released)) => Some(released),
            Some(Claimed::Cancelled) => return Ok(Vec::new()),
            Some(Claimed::No) | None => None,
        };
        let parsed = async { incoming::parse(record, released.as_deref(), now).await.ok() };
        let event = catch(panics::role(), parsed).await;
        let (class, code, reason) = match fault {
            Fault::Bug(panic) => (FailureClass::Bug, "panic", panic.to_string()),
            Fault::Refused => (
                FailureClass::Invalid,
                "refused-by-database",
                "the database refuses a value of the event".to_owned(),
            ),
        };
        let reject = |event| {
            Read::Rejected(Box::new(Reject {
                record,
                tenant: incoming::tenant(record).unwrap_or_default(),
                via_gateway: incoming::is_via_gateway(record),
                event,
                class,
                code,
                reason: reason.clone(),
                released: released.clone(),
            }))
        };
        let mut out: Vec<Vec<OutRecord>> = Vec::new();
        let claimed = self.route_reads(vec![reject(event.ok().flatten())], &mut out, refused, now);
        let last = match catch(panics::role(), claimed).await {
            Ok(Ok(last)) => last,
            Ok(Err(error)) if !matches!(&error, RouterError::Store(error) if error.refuses_data()) => {
                return Err(error);
            }
            // The fault lies in the event's id, source or type, so the dead letter is written without a claim.
            Ok(Err(_)) | Err(_) => {
                out.clear();
                self.route_reads(vec![reject(None)], &mut out, refused, now)
                    .await?
            }
        };
        out.push(last);
        Ok(out.into_iter().flatten().collect())
    }
}
