//! The only user of handlebars: engine, i18n, per-channel escaping and limits, the Renderer trait.
