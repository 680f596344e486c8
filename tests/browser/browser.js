// What every script needs: a browser, pictures, codes of a second factor, and axe. A step that fails leaves a picture of the page.

import { chromium } from "playwright-core";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

export const given = JSON.parse(process.env.GIVEN);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Opens a browser, does the work with a page, and prints what it returns. */
export async function drive(work) {
    const browser = await chromium.launch({
        executablePath: "/usr/bin/chromium",
        args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    });
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "pt-BR", acceptDownloads: true });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const loud = [];
    page.on("console", (message) => message.type() === "error" && loud.push(message.text()));
    page.on("pageerror", (error) => loud.push(String(error)));
    page.on("dialog", (dialog) => dialog.accept());
    const strange = new Set();
    page.on("request", (request) => new URL(request.url()).origin === given.address || request.url().startsWith("data:") || strange.add(request.url()));
    try {
        const seen = await work(page);
        process.stdout.write(JSON.stringify({ ...seen, console: loud, strange: [...strange] }));
    } catch (error) {
        await picture(page, "failed").catch(() => {});
        process.stderr.write(`${error.stack}\nat ${page.url()}\n${await page.innerText("body").catch(() => "")}\n${loud.join("\n")}\n`);
        process.exitCode = 1;
    } finally {
        await browser.close();
    }
}

/** A picture of the whole page. */
export async function picture(page, name) {
    await page.screenshot({ path: join(process.env.PICTURES, `${name}.png`), fullPage: true });
}

/** What axe finds that is serious or worse. The page's own policy lets no script in, so it comes in beside it. */
export async function serious(page) {
    const session = await page.context().newCDPSession(page);
    await session.send("Page.setBypassCSP", { enabled: true });
    await page.reload();
    await page.evaluate(axe);
    const result = await page.evaluate(() => globalThis.axe.run());
    await session.send("Page.setBypassCSP", { enabled: false });
    await page.reload();
    return result.violations
        .filter((violation) => ["serious", "critical"].includes(violation.impact))
        .map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
}

/** The code of a second factor (RFC 6238) for a secret in base32. */
export function code(secret, at = Date.now()) {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = "";
    for (const letter of secret.replace(/[\s=]/g, "").toUpperCase()) bits += letters.indexOf(letter).toString(2).padStart(5, "0");
    const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
    const digest = createHmac("sha1", key).update(counter).digest();
    const offset = digest[19] & 15;
    return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** Fails with what was seen. */
export function expect(holds, what) {
    if (!holds) throw new Error(`not so: ${what}`);
}

/** Waits until the text of the page says something. */
export async function says(page, pattern, timeout = 60_000) {
    await page.waitForFunction(([source, flags]) => new RegExp(source, flags).test(document.body.innerText), [pattern.source, pattern.flags], { timeout });
}
