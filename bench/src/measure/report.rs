//! A benchmark's results: a table for people, a JSON line for machines.

use comfy_table::Table;
use serde::Serialize;

use super::Spread;

/// The results of a benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) backend: &'static str,
    pub(crate) figures: Vec<Figure>,
}

/// A figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: Spread,
    /// The bound that it should keep, if any.
    pub(crate) target: Option<Target>,
}

/// A bound.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, value: Spread) -> Self {
        Self {
            what: what.into(),
            value,
            target: None,
        }
    }

    /// A figure with a count or another single value.
    pub(crate) fn one(what: impl Into<String>, value: f64) -> Self {
        Self::new(what, Spread::of([value]))
    }

    /// A number with the target 0, such as that of lost messages. If it is greater, the benchmark has not measured the
    /// intended work.
    #[expect(clippy::cast_precision_loss, reason = "a number of messages")]
    pub(crate) fn none_of(what: impl Into<String>, count: usize) -> Self {
        Self::one(what, count as f64).at_most(0.0)
    }

    pub(crate) fn at_least(mut self, bound: f64) -> Self {
        self.target = Some(Target::AtLeast(bound));
        self
    }

    pub(crate) fn at_most(mut self, bound: f64) -> Self {
        self.target = Some(Target::AtMost(bound));
        self
    }

    fn holds(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(bound) => self.value.median >= bound,
            Target::AtMost(bound) => self.value.median <= bound,
        })
    }
}

impl Report {
    pub(crate) fn new(name: &'static str, backend: &'static str) -> Self {
        Self {
            name,
            backend,
            figures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Adds the two rates of pairs (ours, bare) and their ratio.
    pub(crate) fn add_pairs(&mut self, what: &str, bare: &str, pairs: &[(f64, f64)], target: Option<f64>) {
        self.add(Figure::new(
            format!("{what}, a second"),
            Spread::of(pairs.iter().map(|(ours, _)| *ours)),
        ));
        self.add(Figure::new(
            format!("{bare}, a second"),
            Spread::of(pairs.iter().map(|(_, bare)| *bare)),
        ));
        let ratio = Figure::new(format!("{what} / {bare}"), Spread::of_ratios(pairs));
        self.add(match target {
            Some(target) => ratio.at_least(target),
            None => ratio,
        });
    }

    /// The report as a table.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.set_header([&format!("{} on {}", self.name, self.backend), "", "target", ""]);
        for figure in &self.figures {
            let target = match figure.target {
                None => String::new(),
                Some(Target::AtLeast(bound)) => format!("≥ {bound}"),
                Some(Target::AtMost(bound)) => format!("≤ {bound}"),
            };
            let verdict = match figure.holds() {
                None => "",
                Some(true) => "holds",
                Some(false) => "MISSED",
            };
            table.add_row([
                figure.what.clone(),
                figure.value.to_string(),
                target,
                verdict.to_owned(),
            ]);
        }
        table.to_string()
    }
}
