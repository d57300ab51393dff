//! Load, and the sink for it.

mod bare;
mod open_loop;
mod sink;

pub(crate) use self::{
    bare::{Target, closed_loop},
    open_loop::{Latencies, open_loop},
    sink::Sink,
};
