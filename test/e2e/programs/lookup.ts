// Asks the resolvers of the machine, as its own file names them: KIND NAME; prints the answers, or the error's code.
import { promises } from "node:dns";

const [kind = "", name = ""] = process.argv.slice(2);
const resolver = new promises.Resolver({ timeout: 5_000, tries: 2 });
const answers = kind === "PTR" ? resolver.reverse(name) : resolver.resolve(name, kind);
const code = (error: unknown): string => String(error instanceof Error && "code" in error ? error.code : error);
console.log(JSON.stringify(await answers.catch((error: unknown) => code(error))));
