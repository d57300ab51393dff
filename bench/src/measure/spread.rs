//! Several measurements of one value.

use serde::Serialize;

/// Median, least and greatest.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) && middle > 0 {
            f64::midpoint(at(middle - 1), at(middle))
        } else {
            at(middle)
        };
        Self {
            median,
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }

    /// The spread of the ratios of pairs that were measured one after the other.
    pub(crate) fn of_ratios(pairs: &[(f64, f64)]) -> Self {
        Self::of(pairs.iter().map(|(ours, bare)| ours / bare))
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.max >= 100.0 {
            0
        } else if self.max >= 10.0 {
            1
        } else {
            3
        };
        let Self { median, min, max } = self;
        if (max - min).abs() < f64::EPSILON {
            return write!(f, "{median:.digits$}");
        }
        write!(f, "{median:.digits$} ({min:.digits$} to {max:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([1.0, 2.0]).to_string(), "1.500 (1.000 to 2.000)");
        assert_eq!(Spread::of([250.4]).to_string(), "250");
    }

    #[test]
    fn ratios_are_taken_within_their_pairs() {
        assert_eq!(
            Spread::of_ratios(&[(1.0, 2.0), (30.0, 40.0)]).to_string(),
            "0.625 (0.500 to 0.750)"
        );
    }
}
