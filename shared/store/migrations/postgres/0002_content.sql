-- What can be sent: catalogs, templates, languages.

CREATE TABLE catalogs (
    tenant TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    document JSON NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- `locale` is '' for a template that serves every locale.
CREATE TABLE template_drafts (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version BIGINT NOT NULL,
    parts JSON NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, id, locale)
);

CREATE TABLE template_versions (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    locale TEXT NOT NULL,
    parts JSON NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (tenant, id, version)
);

CREATE TABLE template_published (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id, locale),
    FOREIGN KEY (tenant, id, version) REFERENCES template_versions
);

CREATE TABLE locales (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    messages TEXT NOT NULL, -- Fluent
    PRIMARY KEY (tenant, tag)
);

-- Grows with every change of what is published, so that renderers need to poll one number.
CREATE TABLE template_revisions (
    tenant TEXT PRIMARY KEY,
    revision BIGINT NOT NULL
);
