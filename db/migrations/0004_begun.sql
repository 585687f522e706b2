-- What an attempt that did not finish began with: whoever goes on knows whether it is still the same that is to be done.

ALTER TABLE stages ADD COLUMN begun TEXT; -- JSON of what its result was to depend on; null once it is done
