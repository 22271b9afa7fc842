/** Most lines that are kept. */
const MAX_LINES = 1_000;
/** Most characters that are kept, of all lines together. */
const MAX_CHARACTERS = 256 * 1_024;

/** The newest lines of a log, in bounded memory. */
export interface RecentLines {
  /** Takes one line, with or without its end. */
  write(line: string): void;
  /** Oldest first. */
  lines(): readonly string[];
}

export function recentLines(maxLines: number = MAX_LINES, maxCharacters: number = MAX_CHARACTERS): RecentLines {
  const kept: string[] = [];
  let characters = 0;
  return {
    write(line) {
      const text = line.trimEnd().slice(0, maxCharacters);
      kept.push(text);
      characters += text.length;
      while (kept.length > maxLines || characters > maxCharacters) characters -= kept.shift()?.length ?? 0;
    },
    lines: () => [...kept],
  };
}
