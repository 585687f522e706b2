/**
 * Downloads one file whose size and checksum are known, going on where an earlier attempt or an earlier process
 * stopped.
 */
import {createHash} from 'node:crypto';
import {constants, createReadStream} from 'node:fs';
import {mkdir, open, readFile, rm, writeFile, type FileHandle} from 'node:fs/promises';
import {STATUS_CODES} from 'node:http';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {EnvHttpProxyAgent, interceptors, request, type Dispatcher} from 'undici';
import {z} from 'zod';
import {throwIfStopped, UserError} from '../errors.js';
import {bytes as inBytes, count} from '../words.js';
import {mayPass, proxyHint, reasonOf} from './network-fault.js';

export interface Download {
  readonly address: string;
  /** Where it grows. NAME.json beside it says what the server calls this version of it. */
  readonly file: string;
  readonly bytes: number;
  readonly md5: string;
  /** What to do where it cannot be had: a sentence that ends a message. */
  readonly otherwise: string;
}

export interface Patience {
  /** How long a server may be silent, before its answer or within it. There is no limit on the whole. */
  readonly silenceMs: number;
  /** Attempts in a row that come no further. */
  readonly vainAttempts: number;
  /** Before the second attempt; doubled before each later one. */
  readonly firstPauseMs: number;
}

export const usualPatience: Patience = {silenceMs: 60_000, vainAttempts: 5, firstPauseMs: 1000};

export interface Watching {
  readonly signal: AbortSignal;
  /** Bytes that are there, at most once a second, and bytes a second since the start. */
  readonly onProgress: (done: number, perSecond: number) => void;
  readonly onNote: (message: string) => void;
  readonly patience: Patience;
}

const CONNECT_MS = 15_000;
const REDIRECTS = 5;
const PROGRESS_EVERY_MS = 1000;
/** Answers that a busy server gives. */
const PASSING = [408, 429, 500, 502, 503, 504];

/** The transfer ended early, for a reason that may pass. */
class Broken extends Error {
  override readonly name = 'Broken';
}

/**
 * Fills `file` and proves its checksum. What is there already is kept and gone on from. Throws (exit 4) where the
 * server cannot be reached, says no, or breaks off again and again, and (exit 3) for another file than the one
 * expected, which is deleted.
 */
export async function download(wanted: Download, {signal, onProgress, onNote, patience}: Watching): Promise<void> {
  await mkdir(path.dirname(wanted.file), {recursive: true});
  const agent = proxyAgent(wanted, patience);
  const handle = await open(wanted.file, constants.O_RDWR | constants.O_CREAT);
  const there = (await handle.stat()).size;
  const transfer = new Transfer(wanted, handle, there > wanted.bytes ? 0 : there, agent, signal, throttled(onProgress));
  try {
    if (there > wanted.bytes) await handle.truncate(0);
    if (transfer.at > 0 && transfer.at < wanted.bytes)
      onNote(`going on at ${inBytes(transfer.at)} of ${inBytes(wanted.bytes)}`);
    let furthest = transfer.at;
    for (let vain = 0; transfer.at < wanted.bytes;) {
      try {
        await transfer.attempt();
      } catch (error) {
        throwIfStopped(signal);
        if (!(error instanceof Broken)) throw error;
        vain = transfer.at > furthest ? 1 : vain + 1;
        furthest = Math.max(furthest, transfer.at);
        if (vain >= patience.vainAttempts) {
          throw new UserError(
            'NO_NETWORK',
            `${wanted.address} broke off ${vain} times in a row, the last time at ${inBytes(transfer.at)} of ${inBytes(wanted.bytes)}: ${error.message}. ` +
              `What came is kept; the same command goes on from there. ${wanted.otherwise}`,
            {cause: error},
          );
        }
        const pauseMs = patience.firstPauseMs * 2 ** (vain - 1);
        onNote(
          `broke off at ${inBytes(transfer.at)}: ${error.message}; trying again in ${Math.ceil(pauseMs / 1000)} s`,
        );
        await sleep(pauseMs, undefined, {signal}).catch(() => throwIfStopped(signal));
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
    await agent.destroy();
    if (transfer.at === 0) await removeDownload(wanted);
  }
  await proveChecksum(wanted, signal);
}

function proxyAgent({address}: Download, {silenceMs}: Patience): EnvHttpProxyAgent {
  try {
    return new EnvHttpProxyAgent({connect: {timeout: CONNECT_MS}, headersTimeout: silenceMs, bodyTimeout: silenceMs});
  } catch (error) {
    throw new UserError(
      'NO_NETWORK',
      `Cannot use the proxy that this machine is set to${proxyHint(address)}: ${reasonOf(error)}.`,
      {cause: error},
    );
  }
}

/** One file's way to disk, in as many attempts as it takes. */
class Transfer {
  private readonly dispatcher: Dispatcher;
  private reached = false;
  private takesRanges = true;

  constructor(
    private readonly wanted: Download,
    private readonly handle: FileHandle,
    /** Bytes that are there. */
    public at: number,
    agent: Dispatcher,
    private readonly signal: AbortSignal,
    private readonly onProgress: (done: number) => void,
  ) {
    this.dispatcher = agent.compose(interceptors.redirect({maxRedirections: REDIRECTS}));
  }

  /** Asks for what is missing and writes it. Throws Broken where the server ended too early. */
  async attempt(): Promise<void> {
    const {address, bytes, otherwise} = this.wanted;
    const from = this.takesRanges ? this.at : 0;
    const {statusCode, headers, body} = await this.ask(from);
    try {
      if (PASSING.includes(statusCode)) throw new Broken(`the server says ${statusOf(statusCode)}`);
      const range = statusCode === 206 ? /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(headers['content-range'])) : null;
      if (statusCode === 416 || (statusCode === 206 && Number(range?.[1]) !== from)) {
        this.takesRanges = false;
        throw new Broken('the server does not send the range that was asked for');
      }
      if (statusCode !== 200 && statusCode !== 206)
        throw new UserError('NO_NETWORK', `${address} says ${statusOf(statusCode)}. ${otherwise}`);
      if (String(headers['content-type']).startsWith('text/html'))
        throw new UserError(
          'NO_NETWORK',
          `${address} answers with a web page, as networks do that want a login first. ${otherwise}`,
        );
      const total = Number(range === null ? headers['content-length'] : range[2]);
      if (Number.isInteger(total) && total !== bytes)
        throw new UserError(
          'DAMAGED_ARCHIVE',
          `${address} holds another file: ${count(total)} bytes, expected ${count(bytes)}. ${otherwise}`,
        );
      if (statusCode === 200) await this.startAnew(headers);
      await this.write(body);
    } finally {
      body.on('error', () => {}).destroy();
    }
    if (this.at < bytes) throw new Broken('the server closed the connection');
  }

  private async ask(from: number): Promise<Dispatcher.ResponseData> {
    const {address, otherwise} = this.wanted;
    try {
      const headers = {...(await this.rangeHeaders(from)), 'accept-encoding': 'identity', 'user-agent': 'pupil'};
      const answer = await request(address, {dispatcher: this.dispatcher, signal: this.signal, headers});
      this.reached = true;
      return answer;
    } catch (error) {
      throwIfStopped(this.signal);
      if (this.reached || mayPass(error)) throw new Broken(reasonOf(error), {cause: error});
      throw new UserError(
        'NO_NETWORK',
        `Cannot reach ${address}${proxyHint(address)}: ${reasonOf(error)}. ${otherwise}`,
        {cause: error},
      );
    }
  }

  /** For the rest of the file, or for all of it where the server has another version by now. */
  private async rangeHeaders(from: number): Promise<Record<string, string>> {
    if (from === 0) return {};
    const known = await readVersion(this.wanted);
    // A part from another address is gone on with all the same: the checksum vouches for the whole.
    return {
      range: `bytes=${from}-`,
      ...(known?.address === this.wanted.address && known.validator !== null && {'if-range': known.validator}),
    };
  }

  private async startAnew({etag, 'last-modified': modified}: Dispatcher.ResponseData['headers']): Promise<void> {
    await this.handle.truncate(0);
    this.at = 0;
    // A weak ETag vouches for no bytes.
    const validator =
      typeof etag === 'string' && !etag.startsWith('W/') ? etag : typeof modified === 'string' ? modified : null;
    await writeVersion(this.wanted, validator);
  }

  private async write(body: AsyncIterable<Buffer>): Promise<void> {
    const {address, bytes, otherwise} = this.wanted;
    for await (const chunk of received(body)) {
      if (this.at + chunk.length > bytes) {
        await this.handle.truncate(0);
        this.at = 0;
        throw new UserError(
          'DAMAGED_ARCHIVE',
          `${address} holds another file: more than the expected ${count(bytes)} bytes. ${otherwise}`,
        );
      }
      for (let written = 0; written < chunk.length;)
        written += (await this.handle.write(chunk, written, chunk.length - written, this.at + written)).bytesWritten;
      this.at += chunk.length;
      this.onProgress(this.at);
    }
  }
}

/** Tells a broken transfer from a disk that cannot be written. */
async function* received(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw new Broken(reasonOf(error), {cause: error});
  }
}

// ---------------------------------------------------------------- which version of the file a part is of

const version = z.object({address: z.string(), validator: z.string().nullable()});

const versionFile = ({file}: Pick<Download, 'file'>): string => `${file}.json`;

async function readVersion(wanted: Download): Promise<z.infer<typeof version> | null> {
  try {
    return version.parse(JSON.parse(await readFile(versionFile(wanted), 'utf8')));
  } catch {
    return null; // Lost or cut off: then the checksum alone vouches.
  }
}

/** `validator` is the server's own mark of the version, an ETag or a date; null where it gives none. */
const writeVersion = (wanted: Download, validator: string | null): Promise<void> =>
  writeFile(
    versionFile(wanted),
    JSON.stringify({address: wanted.address, validator} satisfies z.infer<typeof version>),
  );

/** Takes a download away, with what belongs to it. */
export async function removeDownload(wanted: Pick<Download, 'file'>): Promise<void> {
  await rm(wanted.file, {force: true});
  await rm(versionFile(wanted), {force: true});
}

// ---------------------------------------------------------------- whether it is the file that was expected

async function proveChecksum(wanted: Download, signal: AbortSignal): Promise<void> {
  const found = await md5Of(wanted.file, signal);
  if (found === wanted.md5) return;
  await removeDownload(wanted);
  throw new UserError(
    'DAMAGED_ARCHIVE',
    `${wanted.address} sent another file than the one expected: its md5 is ${found}, expected ${wanted.md5}. It was deleted. ` +
      `Run the same command once more, in case the transfer was at fault. ${wanted.otherwise}`,
  );
}

export async function md5Of(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of createReadStream(file, {highWaterMark: 1 << 20}) as AsyncIterable<Buffer>) {
    throwIfStopped(signal);
    hash.update(chunk);
  }
  return hash.digest('hex');
}

function throttled(onProgress: Watching['onProgress']): (done: number) => void {
  let first: {at: number; done: number} | null = null;
  let shown = 0;
  return done => {
    const now = performance.now();
    first ??= {at: now, done};
    if (now - shown < PROGRESS_EVERY_MS || now === first.at) return;
    shown = now;
    onProgress(done, Math.max(0, (1000 * (done - first.done)) / (now - first.at)));
  };
}

const statusOf = (code: number): string => `${code} ${STATUS_CODES[code] ?? ''}`.trim();
