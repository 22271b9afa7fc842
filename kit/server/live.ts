/** Open streams by identity, so that revoking an identity cuts what it has open. */
export interface LiveStreams {
  /** Registers a stream until disposed. `cut` must end it at once. */
  add(subject: string, issuedAt: number, cut: () => void): Disposable;
  /** Ends every stream of the subject whose credential was issued before the instant (seconds since the Unix epoch). */
  cut(subject: string, issuedBefore: number): number;
}
