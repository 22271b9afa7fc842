/** Platform's change stream of auth: denials and keysets. */
export const STREAM = "auth";
