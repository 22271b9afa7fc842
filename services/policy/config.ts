import * as z from "zod";

/** policy has nothing to configure; an unknown key is an error. */
export const config = z.strictObject({});
