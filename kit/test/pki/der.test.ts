import assert from "node:assert/strict";
import fc from "fast-check";
import { readElements, readInside, TAG, writeElement } from "../../pki/der.ts";

const hex = (text: string): Buffer => Buffer.from(text, "hex");

describe("DER", () => {
  it("reads back what it writes, whatever its length", () => {
    for (const length of [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000]) {
      const body = Buffer.alloc(length, 7);
      const [element, ...others] = readElements(writeElement(TAG.octetString, body));
      assert.deepEqual([element?.tag, element?.body.length, others.length], [TAG.octetString, length, 0]);
      assert.ok(body.equals(element?.body ?? hex("ff")));
    }
  });

  it("takes bytes that it would write itself, and no others", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        let elements;
        try {
          elements = readElements(bytes);
        } catch (error) {
          assert.ok(error instanceof RangeError);
          return;
        }
        const written = elements.map(({ tag, body }) => writeElement(tag, body));
        assert.ok(Buffer.concat(written).equals(bytes));
      }),
      { numRuns: 5000 },
    );
  });

  it("refuses what is cut off, indefinite, not the shortest, or beside the only element", () => {
    for (const text of ["30", "3005", "300501", "3080", "308105", "30820080", "3085000000000100", "1f8101"]) {
      assert.throws(() => readElements(hex(text)), RangeError, text);
    }
    assert.deepEqual(readInside(hex("3000"), TAG.sequence), []);
    for (const text of ["", "0400", "30000500"]) assert.throws(() => readInside(hex(text), TAG.sequence), RangeError);
  });
});
