//! The count of one page: which rows of its list it does not show.

use std::collections::HashSet;

use carillon_store::Cursor;

use super::FirstRows;

/// The rows that are new to a page. A row is new if it comes before the page's first row, or if it came into the list after
/// the page's first look: rows are written in another order than that of the list, and a filter may match them later.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The first row of the page; `None` if the page shows no rows.
    since: Option<Cursor>,
    /// The rows of the last look; `None` before the first.
    seen: Option<HashSet<Cursor>>,
    /// The last row of a look that was full. Rows after it are older ones, which move up when others leave the list.
    floor: Option<Cursor>,
    new: usize,
    is_least: bool,
}

impl Tally {
    /// The count of a page whose first row is `since`.
    pub(crate) fn new(since: Option<Cursor>) -> Self {
        Self {
            since,
            seen: None,
            floor: None,
            new: 0,
            is_least: false,
        }
    }

    /// Counts the rows of a look that are new.
    pub(crate) fn take(&mut self, first_rows: &FirstRows) {
        let rows: HashSet<Cursor> = first_rows.rows.iter().copied().collect();
        let new = match &self.seen {
            None => rows
                .iter()
                .filter(|row| self.since.is_none_or(|since| **row > since))
                .count(),
            Some(seen) => {
                let is_new =
                    |row: &&Cursor| !seen.contains(row) && self.floor.is_none_or(|floor| **row > floor);
                rows.iter().filter(is_new).count()
            }
        };
        self.new += new;
        // Then there may be more of them after the last row of the look.
        self.is_least |= first_rows.is_full && new > 0 && new == rows.len();
        if first_rows.is_full {
            self.floor = self.floor.max(first_rows.rows.last().copied());
        }
        self.seen = Some(rows);
    }

    /// The number of new rows.
    pub(crate) fn new_rows(&self) -> usize {
        self.new
    }

    /// Whether there may be more than [`Self::new_rows`].
    pub(crate) fn is_least(&self) -> bool {
        self.is_least
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carillon_domain::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn place(number: u64) -> Cursor {
        let start: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        Cursor::new(start + Duration::from_secs(number), Uuid::nil())
    }

    fn first_rows(numbers: &[u64], is_full: bool) -> FirstRows {
        FirstRows {
            rows: numbers.iter().copied().map(place).collect(),
            is_full,
        }
    }

    #[test]
    fn rows_before_the_first_one_of_the_page_are_new_once() {
        let mut tally = Tally::new(Some(place(5)));
        tally.take(&first_rows(&[7, 5, 4], false));
        assert_eq!((tally.new_rows(), tally.is_least()), (1, false));
        tally.take(&first_rows(&[7, 5, 4], false));
        tally.take(&first_rows(&[9, 8, 7, 5, 4], false));
        assert_eq!((tally.new_rows(), tally.is_least()), (3, false));
    }

    #[test]
    fn a_row_that_came_late_is_new_and_a_row_that_moved_up_is_not() {
        let mut tally = Tally::new(Some(place(9)));
        tally.take(&first_rows(&[9, 7, 5], true));
        // 8 was written late. 7 left the list, and the older 4 moved up.
        tally.take(&first_rows(&[9, 8, 5], true));
        tally.take(&first_rows(&[9, 5, 4], true));
        assert_eq!(tally.new_rows(), 1);
    }

    #[test]
    fn an_empty_page_counts_every_row() {
        let mut tally = Tally::new(None);
        tally.take(&first_rows(&[], false));
        assert_eq!(tally.new_rows(), 0);
        tally.take(&first_rows(&[2, 1], false));
        assert_eq!((tally.new_rows(), tally.is_least()), (2, false));
    }

    #[test]
    fn a_look_of_new_rows_alone_is_a_least_number() {
        let mut tally = Tally::new(Some(place(1)));
        tally.take(&first_rows(&[4, 3, 2], true));
        assert_eq!((tally.new_rows(), tally.is_least()), (3, true));
        let mut tally = Tally::new(Some(place(3)));
        tally.take(&first_rows(&[3, 2, 1], true));
        tally.take(&first_rows(&[9, 8, 7], true));
        assert_eq!((tally.new_rows(), tally.is_least()), (3, true));
    }
}
