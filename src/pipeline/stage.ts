/** What the engine knows of a stage: what its result depends on, how it is made, and what it vouches for. */
import type {StageName} from '../events.js';
import type {Store} from '../store/open.js';
import type {OwnRows} from '../store/stage-rows.js';

/**
 * Named things a result depends on, each as a short text: `select.top_k` -> `1000`, `prepare.train` -> a hash. Their
 * names and values are shown to people.
 */
export type Ingredients = Readonly<Record<string, string>>;

/** A product under the name by which later stages read it: files, or a text that stands for it. */
export type Output =
  {readonly name: string; readonly files: readonly string[]} | {readonly name: string; readonly digest: string};

export interface StageResult {
  readonly outputs: readonly Output[];
  /** For the report and `status --json`. */
  readonly summary: object;
  /** One line for people. */
  readonly headline: string;
  /** `skipped` where the user's own file stood in for the work, or nobody asked for it. */
  readonly status?: 'skipped';
}

/** The digest of a product, `stage.output`, as it is or will be; null where it is not known. */
export type DigestOf = (reference: string) => string | null;

/** The summary of an earlier stage as it is, or will be where its result is taken; null where it is not known. */
export type Earlier = (stage: StageName) => unknown;

export interface Stage<Context> {
  readonly name: StageName;
  /** Raise it when the code would make something else of the same ingredients. */
  readonly version: number;
  /** Products of earlier stages that it reads, as `stage.output`. */
  readonly reads: readonly string[];
  /**
   * What it vouches for in rows of the database, under the names by which later stages read it: their digests as they
   * are now.
   */
  readonly rows?: Readonly<Record<string, (store: Store) => string>>;
  /** The rows that it makes, which go along with its result to other runs. */
  readonly ownRows?: readonly OwnRows[];
  /** Settings and files from outside that it depends on; what they come to may rest on earlier stages' summaries. */
  ingredients(context: Context, earlier: Earlier): Ingredients | Promise<Ingredients>;
  /**
   * Its products that stay as they are where nothing but these ingredients changed, so that it is known before it runs
   * what does not follow from it.
   */
  unaffected?(changed: readonly string[]): readonly string[];
  /**
   * Whether a result of the same ingredients that is kept holds here, too, by its summary: what it rests on may not be
   * all among them.
   */
  holds?(summary: unknown, context: Context, digestOf: DigestOf): boolean;
  /** Puts right, in a result that was taken, where things lie: another run had them in folders of its own. */
  relocate?(context: Context): Promise<void>;
  /** `ingredients` are those of this run, what it reads included. */
  run(context: Context, ingredients: Ingredients): Promise<StageResult>;
}
