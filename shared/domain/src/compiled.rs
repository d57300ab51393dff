//! A catalog with its JSON Schemas compiled, so that checking an event's data costs no parsing of schemas.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value, value::RawValue};

use crate::{
    catalog::{Catalog, CatalogLimits, CategoryDef, EventTypeDef},
    digest::DigestPlan,
    field_error::{FieldError, quoted},
    mask::{Former, Mask},
    quiet_hours::{QuietHours, Zone},
    schema::{self, Schema},
    schema_errors,
};

/// The most work of one check, in the units of [`CompiledCatalog::work`]. Data that would take more is refused.
pub const MAX_WORK: u64 = schema::MAX_WORK;

/// A catalog that is ready for use.
#[derive(Debug)]
pub struct CompiledCatalog {
    catalog: Catalog,
    /// The catalog's type names, by the event types that belong to them.
    names: HashMap<Arc<str>, Arc<str>>,
    schemas: HashMap<String, Schema>,
    former: Former,
    zone: Zone,
}

/// An event type of a catalog.
#[derive(Debug, Clone, Copy)]
pub struct CatalogType<'a> {
    /// The name, by which templates, preferences and deliveries refer to it.
    pub name: &'a Arc<str>,
    /// Its definition in the catalog.
    pub definition: &'a EventTypeDef,
    /// Its category.
    pub category: &'a CategoryDef,
    /// The timezone of recipients whose own is not known.
    pub zone: Zone,
    /// The quiet hours of recipients who have set none.
    pub quiet_hours: &'a [QuietHours],
    /// The limits that hold for all categories.
    pub limits: &'a CatalogLimits,
    /// The digest into which messages are collected; `None` for the digest's own type.
    pub digest: Option<DigestPlan<'a>>,
}

impl CompiledCatalog {
    /// Compiles the schemas of a catalog. A schema that does not compile is left out; it was refused when the catalog
    /// was applied.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        let schemas = catalog
            .types
            .iter()
            .filter_map(|(name, def)| Some((name.clone(), schema::compile(def.schema.as_ref()?).ok()?)))
            .collect();
        let mut names = HashMap::new();
        for (name, definition) in &catalog.types {
            let name: Arc<str> = name.as_str().into();
            for text in &definition.matches {
                names.insert(text.as_str().into(), Arc::clone(&name));
            }
            names.insert(Arc::clone(&name), name);
        }
        let zone = catalog.timezone.as_deref().and_then(|name| name.parse().ok());
        Self {
            zone: zone.unwrap_or(Zone::UTC),
            catalog,
            names,
            schemas,
            former: Former::default(),
        }
    }

    /// Compiles a single type of a catalog, if it has it.
    #[must_use]
    pub fn of_type(catalog: &Catalog, name: &str) -> Option<Self> {
        let definition = catalog.types.get(name)?;
        Some(Self::new(Catalog {
            types: [(name.to_owned(), definition.clone())].into_iter().collect(),
            categories: catalog.categories.clone(),
            ..Catalog::default()
        }))
    }

    /// Adds the places that former versions of the catalog covered.
    #[must_use]
    pub fn with_former(self, former: Former) -> Self {
        Self { former, ..self }
    }

    /// The mask of events of this type. It covers all places that this or any former version of the catalog covers.
    #[must_use]
    pub fn mask(&self, event_type: &str) -> Mask {
        match self.lookup(event_type) {
            Some(found) => {
                let names = [event_type, &**found.name];
                let items = self.catalog.item_places(found.name);
                Mask::with_items(Some(found.definition), &self.former, &names, &items)
            }
            None => Mask::of(None),
        }
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The type of an event: the one with this name, or the one that matches it.
    #[must_use]
    pub fn lookup(&self, event_type: &str) -> Option<CatalogType<'_>> {
        let name = self.names.get(event_type)?;
        let definition = self.catalog.types.get(&**name)?;
        let category = self.catalog.categories.get(&definition.category)?;
        Some(CatalogType {
            name,
            definition,
            category,
            zone: self.zone,
            quiet_hours: &self.catalog.quiet_hours,
            limits: &self.catalog.limits,
            digest: self.digest(name, category),
        })
    }

    fn digest<'a>(&'a self, name: &str, category: &'a CategoryDef) -> Option<DigestPlan<'a>> {
        let definition = category.digest.as_ref()?;
        let own = self.catalog.types.get(&definition.event_type)?;
        (definition.event_type != name).then_some(DigestPlan {
            definition,
            channels: &own.channels.order,
        })
    }

    /// An estimate of the work of [`Self::validate_data`] for an event of this type with data of this many bytes. A unit
    /// takes a few nanoseconds at most.
    #[must_use]
    pub fn work(&self, event_type: &str, bytes: usize) -> u64 {
        let schema = self
            .names
            .get(event_type)
            .and_then(|name| self.schemas.get(&**name));
        schema.map_or(0, |schema| schema.work(bytes))
    }

    /// Checks an event's data against the schema of the type of this name; pointers are into the event.
    #[must_use]
    pub fn validate_data(&self, name: &str, data: &RawValue) -> Vec<FieldError> {
        match self.readable(name, data) {
            Ok(Some((schema, value))) => {
                let (validator, bytes) = (schema.validator(), data.get().len());
                schema_errors::of(validator, &value, bytes, "/data", self.hides(name))
            }
            Ok(None) => Vec::new(),
            Err(error) => vec![error],
        }
    }

    /// Checks data that may be incomplete, such as the sample of a preview: the errors about properties that are missing,
    /// and all others. See [`Self::validate_data`].
    #[must_use]
    pub fn validate_sample(&self, name: &str, data: &RawValue) -> (Vec<FieldError>, Vec<FieldError>) {
        match self.readable(name, data) {
            Ok(Some((schema, value))) => {
                let (validator, bytes) = (schema.validator(), data.get().len());
                schema_errors::of_incomplete(validator, &value, bytes, "/data", self.hides(name))
            }
            Ok(None) => (Vec::new(), Vec::new()),
            Err(error) => (Vec::new(), vec![error]),
        }
    }

    /// Whether the data of a type may hold secrets.
    fn hides(&self, name: &str) -> bool {
        let definition = self.catalog.types.get(name);
        self.former.has_secrets(name)
            || definition.is_some_and(|definition| !definition.sensitive.is_empty())
            || !self.catalog.item_places(name).sensitive.is_empty()
    }

    /// The schema of a type and the data as it reads them; `None` for a type without a schema.
    fn readable(&self, name: &str, data: &RawValue) -> Result<Option<(&Schema, Value)>, FieldError> {
        let Some(schema) = self.schemas.get(name) else {
            return Ok(None);
        };
        let data_bytes = data.get().len();
        let max_bytes = schema.max_bytes();
        if data_bytes as u64 > max_bytes {
            let text = format!(
                "expected at most {max_bytes} bytes of data, not {data_bytes}: the schema of {} has too many subschemas, \
                 names or patterns for more",
                quoted(name)
            );
            return Err(FieldError::new("/data", "schema-work", text));
        }
        match serde_json::from_str::<Value>(data.get()) {
            Ok(value) => Ok(Some((schema, value))),
            Err(_) => Err(FieldError::new("/data", "malformed-json", "expected JSON")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_breaks_the_schema_is_named() {
        let catalog: Catalog = serde_json::from_str(
            r#"{"categories":{"c":{}},"types":{"T":{"category":"c","channels":{"order":["sms"]},
                "schema":{"type":"object","required":["order_id"],"properties":{"carrier":{"type":"string"}}}}}}"#,
        )
        .unwrap();
        let compiled = CompiledCatalog::new(catalog);
        let check =
            |json: &str| compiled.validate_data("T", &RawValue::from_string(json.to_owned()).unwrap());
        assert!(check(r#"{"order_id":"1"}"#).is_empty());
        let mut pointers: Vec<_> = check(r#"{"carrier":7}"#)
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        pointers.sort();
        assert_eq!(pointers, ["/data", "/data/carrier"]);
        assert!(compiled.lookup("U").is_none() && compiled.lookup("T").is_some());
    }

    #[test]
    fn data_that_a_schema_would_check_for_seconds_is_refused_with_the_permitted_size() {
        let branches: Vec<String> = (0..900)
            .map(|n| format!(r#"{{"properties":{{"p{n}":{{}}}}}}"#))
            .collect();
        let catalog: Catalog = serde_json::from_str(&format!(
            r#"{{"categories":{{"c":{{}}}},"types":{{"T":{{"category":"c","channels":{{"order":["sms"]}},"match":["t"],
                "schema":{{"allOf":[{}],"unevaluatedProperties":false}}}}}}}}"#,
            branches.join(",")
        ))
        .unwrap();
        assert_eq!(catalog.validate(), []);
        let compiled = CompiledCatalog::new(catalog);
        let check = |keys: usize| {
            let keys: Vec<String> = (0..keys).map(|n| format!("\"k{n}\":1")).collect();
            let data = RawValue::from_string(format!("{{{}}}", keys.join(","))).unwrap();
            (data.get().len(), compiled.validate_data("T", &data).remove(0))
        };
        let (bytes, error) = check(20_000);
        assert!(compiled.work("t", bytes) > MAX_WORK);
        assert_eq!((&*error.pointer, &*error.code), ("/data", "schema-work"));
        assert!(
            error
                .message
                .contains(&format!("bytes of data, not {bytes}: the schema of \"T\"")),
            "{error}"
        );
        assert_eq!(check(100).1.code, "schema");
    }

    #[test]
    fn a_matched_event_type_belongs_to_the_type_that_matches_it() {
        let catalog: Catalog = serde_json::from_str(
            r#"{"categories":{"c":{}},"types":{"Sized":{"category":"c","channels":{"order":["sms"]},
                "match":["Größe","orders/create"]}}}"#,
        )
        .unwrap();
        let compiled = CompiledCatalog::new(catalog);
        for event_type in ["Sized", "Größe", "orders/create"] {
            assert_eq!(&**compiled.lookup(event_type).unwrap().name, "Sized");
        }
        assert!(compiled.lookup("größe").is_none());
    }
}
