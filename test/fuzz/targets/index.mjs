// Every input that is read, as a target: `make` draws a damaged one as files, `judge` has its real reader read it.
// Shares are per cent.
import {kept} from './kept.mjs';
import {pictures} from './pictures.mjs';
import {settings} from './settings.mjs';
import {sources} from './sources.mjs';
import {trainer} from './trainer.mjs';

export const targets = [...sources, ...settings, ...kept, ...pictures, ...trainer];
