/**
 * How a stage is written: it declares each setting that its result depends on, and is handed these, what it reads of
 * earlier stages, and what it works with; of the config nothing else reaches it but what changes no result (Handling). What it is known by follows from the
 * declaration, so that a setting which is used without being declared does not compile.
 */
import type {StageName} from '../events.js';
import type {Earlier, Ingredients, Stage, StageResult} from '../pipeline/stage.js';
import type {SummaryOf} from './summaries.js';
import {toolsOf, type RunContext, type StageContext} from './context.js';

/** A value for a stage, and the ingredients by which it is known and shown. */
export interface Setting<Value> {
  readonly value: Value;
  readonly ingredients: Ingredients;
}

/** A key of the config, or a fact of that kind, under its own name. */
export const keyed = <Value extends string | number | boolean | null>(name: string, value: Value): Setting<Value> => ({
  value,
  ingredients: {[name]: String(value)},
});

/** A value that is known by these ingredients, which between them tell all of it. */
export const told = <Value>(value: Value, ingredients: Ingredients): Setting<Value> => ({value, ingredients});

/**
 * A value that needs no ingredient of its own: another one's, or what the stage reads, changes with it; or it is only
 * shown to people. Nothing checks that: say why where it is used.
 */
export const implied = <Value>(value: Value): Setting<Value> => ({value, ingredients: {}});

type Declaration = Readonly<Record<string, Setting<unknown>>>;
type ValuesOf<Declared extends Declaration> = {
  readonly [Name in keyof Declared]: Declared[Name] extends Setting<infer Value> ? Value : never;
};

interface Definition<Name extends StageName, Reads extends string, Declared extends Declaration> extends Pick<
  Stage<RunContext>,
  'version' | 'rows' | 'ownRows' | 'unaffected' | 'holds' | 'relocate'
> {
  readonly name: Name;
  readonly reads: readonly Reads[];
  readonly settings: (given: RunContext, earlier: Earlier) => Declared | Promise<Declared>;
  /** `ingredients` are all of this run's: those of the settings, and the digests of what it reads. */
  readonly run: (
    context: StageContext,
    settings: ValuesOf<Declared>,
    ingredients: Ingredients & Readonly<Record<Reads, string>>,
  ) => Promise<StageResult & {readonly summary: SummaryOf<Name>}>;
}

export function defineStage<Name extends StageName, const Reads extends string, Declared extends Declaration>({
  settings,
  run,
  ...stage
}: Definition<Name, Reads, Declared>): Stage<RunContext> {
  /** As a run last declared it, for the ingredients that the stage is run with: a teacher's file is hashed once. */
  const latest = new WeakMap<RunContext['store'], Declared>();
  return {
    ...stage,
    async ingredients(given, earlier) {
      const declaration = await settings(given, earlier);
      latest.set(given.store, declaration);
      const declared = Object.values(declaration);
      return Object.assign({}, ...declared.map(({ingredients}) => ingredients)) as Ingredients;
    },
    async run(given, ingredients) {
      const declaration = latest.get(given.store);
      if (declaration === undefined) throw new Error(`${stage.name} was run before it was asked what it depends on.`);
      const declared = Object.entries(declaration);
      const values = Object.fromEntries(declared.map(([name, {value}]) => [name, value]));
      // The engine runs a stage only where all that it reads is there.
      return await run(toolsOf(given), values as ValuesOf<Declared>, ingredients);
    },
  };
}
