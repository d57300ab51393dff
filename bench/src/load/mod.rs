//! Load, and the sink for it.

mod bare;
mod mortal;
mod open_loop;
mod sink;

pub(crate) use self::{
    bare::{Target, closed_loop},
    mortal::MortalSink,
    open_loop::{Latencies, open_loop},
    sink::{Arrival, Sink},
};
