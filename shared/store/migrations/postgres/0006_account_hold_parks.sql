-- Why the account is parked: operator, failures or refusals; null if the provider asked for a pause. A worker that starts
-- takes over pauses, and lets one message go first after a park.
ALTER TABLE account_holds ADD COLUMN park TEXT;
