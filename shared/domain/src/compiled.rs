//! A catalog with its JSON Schemas compiled, so that checking an event's data costs no parsing of schemas.

use std::{collections::HashMap, sync::Arc};

use jsonschema::Validator;
use serde_json::{Value, value::RawValue};

use crate::{
    catalog::{Catalog, CategoryDef, EventTypeDef},
    field_error::FieldError,
    mask::{Former, Mask},
    schema, schema_errors,
};

/// A catalog that is ready for use.
#[derive(Debug)]
pub struct CompiledCatalog {
    catalog: Catalog,
    /// The catalog's type names, by the event types that belong to them.
    names: HashMap<Arc<str>, Arc<str>>,
    validators: HashMap<String, Validator>,
    former: Former,
}

/// A type of the catalog.
#[derive(Debug, Clone, Copy)]
pub struct CatalogType<'a> {
    /// Its name, by which templates, preferences and deliveries know it.
    pub name: &'a Arc<str>,
    /// Its definition in the catalog.
    pub definition: &'a EventTypeDef,
    /// Its category.
    pub category: &'a CategoryDef,
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
        let mut names = HashMap::new();
        for (name, definition) in &catalog.types {
            let name: Arc<str> = name.as_str().into();
            for text in &definition.matches {
                names.insert(text.as_str().into(), Arc::clone(&name));
            }
            names.insert(Arc::clone(&name), name);
        }
        Self {
            catalog,
            names,
            validators,
            former: Former::default(),
        }
    }

    /// The catalog with what its former versions covered.
    #[must_use]
    pub fn with_former(self, former: Former) -> Self {
        Self { former, ..self }
    }

    /// The mask of events of this type. It covers what this or any former version of the catalog covers.
    #[must_use]
    pub fn mask(&self, event_type: &str) -> Mask {
        match self.lookup(event_type) {
            Some(found) => {
                Mask::with_former(Some(found.definition), &self.former, &[event_type, &**found.name])
            }
            None => Mask::of(None),
        }
    }

    /// The catalog.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The type of an event: the one of this name, or the one that matches it.
    #[must_use]
    pub fn lookup(&self, event_type: &str) -> Option<CatalogType<'_>> {
        let name = self.names.get(event_type)?;
        let definition = self.catalog.types.get(&**name)?;
        Some(CatalogType {
            name,
            definition,
            category: self.catalog.categories.get(&definition.category)?,
        })
    }

    /// Checks an event's data against the schema of the type of this name; pointers are into the event.
    #[must_use]
    pub fn validate_data(&self, name: &str, data: &RawValue) -> Vec<FieldError> {
        let Some(validator) = self.validators.get(name) else {
            return Vec::new();
        };
        let data_bytes = data.get().len();
        let Ok(data) = serde_json::from_str::<Value>(data.get()) else {
            return vec![FieldError::new("/data", "malformed-json", "expected JSON")];
        };
        let definition = self.catalog.types.get(name);
        let hides = self.former.has_secrets(name)
            || definition.is_some_and(|definition| !definition.sensitive.is_empty());
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

    #[test]
    fn an_event_type_that_is_matched_is_of_the_type_that_matches_it() {
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
