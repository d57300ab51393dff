//! A catalog with its JSON Schemas compiled, so that checking an event's data costs no parsing of schemas.

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::{Value, value::RawValue};

use crate::{
    catalog::{Catalog, CategoryDef, EventTypeDef},
    field_error::FieldError,
    schema, schema_errors,
};

/// A catalog that is ready for use.
#[derive(Debug)]
pub struct CompiledCatalog {
    catalog: Catalog,
    validators: HashMap<String, Validator>,
}

impl CompiledCatalog {
    /// Compiles a catalog's schemas; one that does not compile was refused when the catalog was applied, and is left
    /// out here.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        let validators = catalog
            .types
            .iter()
            .filter_map(|(name, def)| Some((name.clone(), schema::compile(def.schema.as_ref()?).ok()?)))
            .collect();
        Self { catalog, validators }
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// An event type and its category.
    #[must_use]
    pub fn lookup(&self, event_type: &str) -> Option<(&EventTypeDef, &CategoryDef)> {
        let definition = self.catalog.types.get(event_type)?;
        Some((definition, self.catalog.categories.get(&definition.category)?))
    }

    /// Checks an event's data against its type's schema; pointers are into the event.
    #[must_use]
    pub fn validate_data(&self, event_type: &str, data: &RawValue) -> Vec<FieldError> {
        let Some(validator) = self.validators.get(event_type) else {
            return Vec::new();
        };
        let data_bytes = data.get().len();
        let Ok(data) = serde_json::from_str::<Value>(data.get()) else {
            return vec![FieldError::new("/data", "malformed-json", "expected JSON")];
        };
        let hides = self
            .lookup(event_type)
            .is_some_and(|(definition, _)| !definition.sensitive.is_empty());
        schema_errors::of(validator, &data, data_bytes, "/data", hides)
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
}
