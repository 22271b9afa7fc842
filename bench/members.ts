import type { SiteTenant } from "@cloudvlan/test/site/tenant";
import { join, type Member } from "@cloudvlan/test/member";

const AT_ONCE = 8;

/** Lets machines join for real, with keys and certificates of their own, that run neither agent nor engine. */
export async function joinMembers(tenant: SiteTenant, first: number, count: number): Promise<Member[]> {
  const members: Member[] = [];
  let next = first;
  const joinSome = async (): Promise<void> => {
    while (next < first + count) {
      const name = `member-${next++}`;
      members.push(await join(await tenant.newJoinString(), name));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, joinSome));
  return members;
}
