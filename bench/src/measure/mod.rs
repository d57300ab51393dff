//! Measurements and their report.

mod report;
mod spread;
mod usage;

pub(crate) use self::{
    report::{Figure, Report},
    spread::Spread,
    usage::Processes,
};
