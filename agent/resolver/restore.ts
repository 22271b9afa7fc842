import { restoreFile } from "./file.ts";
import { readJournal, removeJournal } from "./journal.ts";
import { restoreLink } from "./resolved.ts";

/** The file that programs of a host read. */
export const RESOLV_CONF = "/etc/resolv.conf";

/**
 * Puts the host's resolver back as it was before this membership set it. Nothing to put back is no error.
 * @returns true when there was something
 */
export async function restoreHost(state: string, path: string = RESOLV_CONF): Promise<boolean> {
  const journal = await readJournal(state);
  if (!journal) return false;
  if (journal.backend === "file") await restoreFile(path, state, journal);
  else {
    await restoreLink(journal.interface);
    await removeJournal(state);
  }
  return true;
}
