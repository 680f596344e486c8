-- Sets are looked for by what they hold, such as the schemas of one tenant.
CREATE INDEX artifacts_held ON artifacts (source, name, kind, set_name);
