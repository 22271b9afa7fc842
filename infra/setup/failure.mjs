/** A set-up that cannot go on: the message is the whole of what the user needs to read. */
export class SetupFailure extends Error {}
