export interface Progress {
  say(text: string): void;
  begin(name: string): void;
  doing(name: string, action: string): void;
  done(name: string): void;
  end(): void;
}
export function showProgress(stream: {readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown}): Progress;
