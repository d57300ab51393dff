-- When a step's next attempt is due, where one follows.

ALTER TABLE delivery_history ADD COLUMN due_at TEXT;
