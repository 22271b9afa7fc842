/** What a bulk stream repeats; its length is prime, so that a piece that is missing shows. */
export const PATTERN: Buffer = Buffer.from(Array.from({ length: 65_521 }, (_, at) => (at * 31 + (at >> 8)) % 256));
