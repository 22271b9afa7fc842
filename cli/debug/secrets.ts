/** What an API key, a join string, a private key or a password in a URL looks like, wherever it stands. */
const SECRET =
  /cvk_[A-Za-z0-9-]+_[A-Za-z0-9-]+_[A-Za-z0-9_-]+|cvlan1\.[A-Za-z0-9_-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)|(?<=:\/\/)[^\s/@]*:[^\s/@]*(?=@)/g;

/** The text without secrets; applied whatever the user asked for. */
export function withoutSecrets(text: string): string {
  return text.replace(SECRET, "[redacted]");
}
