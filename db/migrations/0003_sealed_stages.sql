-- What a finished stage recorded of itself is known for what was written by its seal; see src/store/stages.ts, which fills it for those from before.

ALTER TABLE stages ADD COLUMN seal TEXT; -- SHA-256 of the record and its outputs, less their stamps
