/** A local HTTP server of one file, with the habits and faults that a test gives it. */
import {once} from 'node:events';
import {createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse} from 'node:http';
import {onTestFinished} from 'vitest';

export interface Asked {
  url: string;
  headers: IncomingHttpHeaders;
}

export type Answer = (request: IncomingMessage, response: ServerResponse, nth: number) => void | Promise<void>;

export interface FileServer {
  address: string;
  /** Every request so far. */
  asked: Asked[];
}

/** Starts a server that lasts as long as the test. `answer` gets the number of the request, from 1. */
export async function serve(answer: Answer): Promise<FileServer> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    asked.push({url: request.url ?? '', headers: request.headers});
    void answer(request, response, asked.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('The server has no port.');
  return {address: `http://127.0.0.1:${bound.port}`, asked};
}

export interface Habits {
  etag?: string | null;
  /** Whether Range is understood. */
  ranges?: boolean;
  /** Ends the connection after so many bytes of the body. */
  cutAfter?: number;
}

/** Answers as a usual file server does. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  {etag = '"one"', ranges = true, cutAfter}: Habits = {},
): void {
  const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const isSame = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  const from = ranges && isSame && asked !== null ? Number(asked[1]) : 0;
  const body = content.subarray(from);
  const headers = {'content-length': body.length, ...(etag !== null && {etag})};
  if (from > 0)
    response.writeHead(206, {...headers, 'content-range': `bytes ${from}-${content.length - 1}/${content.length}`});
  else response.writeHead(200, headers);
  if (cutAfter === undefined) response.end(body);
  // A moment, so that what was sent arrives before the end does.
  else response.write(body.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 30));
}
