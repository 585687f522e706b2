/** Says in words why a server could not be reached or broke off, and whether asking again may help. */

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is not known here',
  EAI_AGAIN: 'names cannot be looked up',
  ECONNREFUSED: 'the connection is refused',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
  UND_ERR_CONNECT_TIMEOUT: 'nothing answers',
};

/** What befalls a connection that stood. */
const passing: Readonly<Record<string, string>> = {
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ETIMEDOUT: 'the connection went dead',
  UND_ERR_HEADERS_TIMEOUT: 'the server is silent',
  UND_ERR_BODY_TIMEOUT: 'the server fell silent',
  UND_ERR_SOCKET: 'the server closed the connection',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the server closed the connection',
};

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

/** Whether an error is of the kind that befalls a connection that stood. */
export const mayPass = (error: unknown): boolean => codeOf(error) in passing;

/** Why a transfer failed. What the HTTP client wraps is looked into. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  return (
    reasons[code] ?? passing[code] ?? (error.cause instanceof Error ? reasonOf(error.cause) : error.message || code)
  );
}

/**
 * Tells which proxy this machine is set to use for an address, without the password that it may hold; empty where none
 * is.
 */
export function proxyHint(address: string): string {
  // In the order in which the HTTP client looks: a lower-case name wins, even an empty one.
  const protocols = new URL(address).protocol === 'https:' ? ['https', 'http'] : ['http'];
  for (const protocol of protocols) {
    const name = [`${protocol}_proxy`, `${protocol.toUpperCase()}_PROXY`].find(
      candidate => process.env[candidate] !== undefined,
    );
    const proxy = name === undefined ? '' : (process.env[name] ?? '');
    if (proxy !== '')
      return ` (${name} names ${URL.canParse(proxy) ? new URL(proxy).host : 'something that is no URL'} as the proxy)`;
  }
  return '';
}
