import { UsageError } from "./exit.ts";

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** `90s`, `15m`, `1h`, `7d` in seconds; 0 when absent, which leaves the choice to the controller. */
export function durationSeconds(text: string | undefined): number {
  if (text === undefined) return 0;
  const [, digits, unit] = /^(\d{1,8})([smhd])$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : UNITS[unit];
  if (digits === undefined || factor === undefined) {
    throw new UsageError(`${JSON.stringify(text)} is not a duration`, "write it like 90s, 15m, 1h or 7d");
  }
  return Number(digits) * factor;
}

/** A whole number within bounds. */
export function wholeNumber(name: string, text: string | undefined, max: number): number {
  if (text === undefined) return 0;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= max)) throw new UsageError(`${name} is not a whole number up to ${max}`, `correct ${name}`);
  return value;
}

/** `key=value` pairs. */
export function tagPairs(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) throw new UsageError(`${JSON.stringify(pair)} is not a tag`, "write tags like env=prod");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** `name`, `name:443`, `100.64.0.2:443`, `[fd00::2]:443` or `fd00::2`. */
export function splitDestination(text: string): { host: string; port: number } {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  const [, host, port] = bracketed ?? plain ?? [undefined, text, undefined];
  return { host: host ?? text, port: wholeNumber("the port", port, 65_535) };
}

/** For commander: options that may be repeated. */
export function collect(value: string, former: readonly string[] | undefined): string[] {
  return [...(former ?? []), value];
}
