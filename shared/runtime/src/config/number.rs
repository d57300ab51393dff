//! Whole numbers in a configuration, with the least and the greatest value that can work. For
//! `#[serde(deserialize_with = "number::between::<_, _, 1, 100>")]`.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// A number from `LEAST` to `MOST`.
struct Between<T, const LEAST: u64, const MOST: u64>(T);

struct InRange<T, const LEAST: u64, const MOST: u64>(PhantomData<T>);

impl<T: TryFrom<u64>, const LEAST: u64, const MOST: u64> Visitor<'_> for InRange<T, LEAST, MOST> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {LEAST} to {MOST}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let fits = Some(number).filter(|number| (LEAST..=MOST).contains(number));
        fits.and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

impl<'de, T: TryFrom<u64>, const LEAST: u64, const MOST: u64> Deserialize<'de> for Between<T, LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_u64(InRange::<T, LEAST, MOST>(PhantomData))
            .map(Self)
    }
}

/// Reads a number from `LEAST` to `MOST`.
pub fn between<'de, D: Deserializer<'de>, T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(
    deserializer: D,
) -> Result<T, D::Error> {
    Between::<T, LEAST, MOST>::deserialize(deserializer).map(|Between(number)| number)
}

/// Reads a number from `LEAST` to `MOST`, or its absence.
pub fn between_or_none<'de, D: Deserializer<'de>, T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let read = Option::<Between<T, LEAST, MOST>>::deserialize(deserializer)?;
    Ok(read.map(|Between(number)| number))
}
