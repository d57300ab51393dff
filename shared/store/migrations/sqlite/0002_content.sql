-- What can be sent: catalogs, templates, languages.

CREATE TABLE catalogs (
    tenant TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `locale` is '' for a template that serves every locale.
CREATE TABLE template_drafts (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version INTEGER NOT NULL,
    parts TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (tenant, id, locale)
) STRICT, WITHOUT ROWID;

CREATE TABLE template_versions (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    locale TEXT NOT NULL,
    parts TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant, id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE template_published (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (tenant, id, locale),
    FOREIGN KEY (tenant, id, version) REFERENCES template_versions
) STRICT, WITHOUT ROWID;

CREATE TABLE locales (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    messages TEXT NOT NULL, -- Fluent
    PRIMARY KEY (tenant, tag)
) STRICT, WITHOUT ROWID;

-- Grows with every change of what is published, so that renderers need to poll one number.
CREATE TABLE template_revisions (
    tenant TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
