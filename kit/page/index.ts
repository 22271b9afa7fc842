import { create } from "@bufbuild/protobuf";
import { type ListMeta, ListMetaSchema, type Pagination } from "@cloudvlan/gen/entity/v1/common_pb.js";
import { Refusal } from "../errors/index.ts";
import { type IdKind, isId } from "../ids/index.ts";

const DEFAULT_SIZE = 100;

/** The part of a list that is asked for: up to `size` rows with an id above `after`. */
export interface Page {
  readonly size: number;
  readonly after: string;
}

/** @throws Refusal `invalid` for a token that no page of this list gave. */
export function pageOf(kind: IdKind, pagination: Pagination | undefined): Page {
  const { pageSize = 0, pageToken = "" } = pagination ?? {};
  if (pageToken !== "" && !isId(kind, pageToken)) {
    throw new Refusal("invalid", "PAGE_TOKEN_INVALID", "the page token is not one of this list", {
      field: "pagination.page_token",
      remedy: "pass next_page_token of the page before as it was given",
    });
  }
  return { size: pageSize === 0 ? DEFAULT_SIZE : pageSize, after: pageToken };
}

/** Splits what a query for `size + 1` rows gave into the page and what the list says about itself. */
export function splitPage<R extends { readonly id: string }>(
  page: Page,
  rows: readonly R[],
): { rows: readonly R[]; meta: ListMeta } {
  const shown = rows.slice(0, page.size);
  const nextPageToken = rows.length > page.size ? (shown.at(-1)?.id ?? "") : "";
  return { rows: shown, meta: create(ListMetaSchema, { nextPageToken }) };
}
