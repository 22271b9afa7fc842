import type { Pagination } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "@cloudvlan/kit/errors";
import { type IdKind, isId } from "@cloudvlan/kit/ids";

const DEFAULT_SIZE = 100;

export interface Page {
  /** Id after which the page starts; empty for the first. */
  readonly after: string;
  readonly size: number;
}

/** @throws Refusal when the token is not one that a list of this kind handed out. */
export function pageOf(kind: IdKind, pagination: Pagination | undefined): Page {
  const after = pagination?.pageToken ?? "";
  if (after !== "" && !isId(kind, after)) {
    throw new Refusal("invalid", "PAGE_TOKEN", "the page token is not one of this list", {
      field: "pagination.page_token",
      remedy: "repeat next_page_token as it was, or leave it empty for the first page",
    });
  }
  return { after, size: pagination?.pageSize || DEFAULT_SIZE };
}

/** @param rows one more than the page's size, when there are that many. */
export function cutPage<T extends { readonly id: string }>(
  rows: readonly T[],
  { size }: Page,
): { readonly items: readonly T[]; readonly nextPageToken: string } {
  const items = rows.slice(0, size);
  return { items, nextPageToken: rows.length > size ? (items.at(-1)?.id ?? "") : "" };
}
