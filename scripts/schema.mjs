// Writes presets/pupil.schema.json from the built config schema, for editors.   node scripts/schema.mjs
import {writeFileSync} from 'node:fs';
import {jsonSchema} from '../dist/config/layers.js';

writeFileSync(new URL('../presets/pupil.schema.json', import.meta.url), `${JSON.stringify(jsonSchema(), null, 2)}\n`);
