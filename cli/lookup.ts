import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ListMeta, PaginationSchema } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";

const PAGE_SIZE = 1_000;

type Pagination = MessageInitShape<typeof PaginationSchema>;

/** All items of a list, page after page. */
export async function everyPage<R extends { meta?: ListMeta | undefined }, T>(
  list: (pagination: Pagination) => Promise<R>,
  itemsOf: (page: R) => readonly T[],
): Promise<T[]> {
  const items: T[] = [];
  const seen = new Set<string>();
  for (let pageToken = ""; ;) {
    const page = await list({ pageSize: PAGE_SIZE, pageToken });
    items.push(...itemsOf(page));
    pageToken = page.meta?.nextPageToken ?? "";
    if (pageToken === "" || seen.has(pageToken)) return items;
    seen.add(pageToken);
  }
}

/**
 * The one that is meant by a name or an id.
 * @throws Refusal `not_found` that offers the nearest names.
 */
export function byName<T extends { readonly id: string; readonly name: string }>(
  kind: string,
  items: readonly T[],
  wanted: string,
): T {
  const found = items.find(({ id, name }) => id === wanted || name === wanted);
  if (found) return found;
  const near = items
    .map(({ name }) => name)
    .filter((name) => name.startsWith(wanted.slice(0, 2)))
    .slice(0, 5);
  throw new Refusal("not_found", "NAME_UNKNOWN", `there is no ${kind} named ${JSON.stringify(wanted)}`, {
    remedy: near.length > 0 ? `did you mean ${near.join(", ")}?` : `see \`cvlan ${kind} list\``,
  });
}
