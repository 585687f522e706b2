/** The type of an open database, as every table takes it. */
import type Database from 'better-sqlite3';

export type Connection = Database.Database;
