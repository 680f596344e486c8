// Somebody who never opens a terminal: the first start, a second factor, a backup, and what the pages say of it.

import { code, drive, expect, given, picture, says, serious } from "./browser.js";

const PASSWORD = "uma senha bem comprida 42";

drive(async (page) => {
    const seen = { axe: {}, heaviest: 0, slowest: 0 };
    const go = async (path) => {
        const began = Date.now();
        const response = await page.goto(given.address + path);
        seen.slowest = Math.max(seen.slowest, Date.now() - began);
        seen.heaviest = Math.max(seen.heaviest, (await response.body()).length);
        expect(response.status() === 200, `${path} answers ${response.status()}`);
    };
    const look = async (name) => {
        await picture(page, name);
        const found = await serious(page);
        if (found.length > 0) seen.axe[name] = found;
    };

    // First start: the one-time link makes the first administrator, and is no good afterwards.
    await page.goto(given.setup);
    await look("setup");
    await page.fill("[name=name]", "ana");
    await page.fill("[name=password]", PASSWORD);
    await page.fill("[name=repeated]", PASSWORD);
    await page.click("main button[type=submit]");
    await page.waitForURL(given.address + "/");
    await look("overview-empty");

    // A second factor, and a login that asks for it.
    await go("/account");
    await page.click("form:has([value=totp-begin]) button[type=submit]");
    const secret = (await page.innerText(".command output")).trim();
    await page.fill("[name=code]", code(secret));
    await page.click("form:has([value=totp-confirm]) button[type=submit]");
    await says(page, /recupera/i);
    await page.click("form[action='/logout'] button");
    await page.waitForURL(/\/login/);
    await page.fill("[name=name]", "ana");
    await page.fill("[name=password]", "a senha errada que ninguém tem");
    await page.click("main button[type=submit]");
    await says(page, /incorretos/);
    await page.fill("[name=name]", "ana");
    await page.fill("[name=password]", PASSWORD);
    await page.click("main button[type=submit]");
    await page.waitForSelector("[name=code]");
    await look("login-code");
    await page.fill("[name=password]", PASSWORD);
    // The code of the half minute that was used already is refused.
    await page.fill("[name=code]", code(secret, Date.now() + 30_000));
    await page.click("main button[type=submit]");
    await page.waitForURL(given.address + "/");

    // A backup of everything, followed to its end.
    await page.click("form[action='/runs'] button");
    await page.waitForURL(/\/runs\/.+/);
    await picture(page, "run");
    await says(page, /concluído/, 120_000);
    await look("run-done");
    await go("/sets");
    await look("sets");
    await page.click("main a[href^='/sets/backup_']");
    await look("set");
    seen.set = new URL(page.url()).pathname.split("/").pop();

    for (const path of ["/", "/runs", "/checks", "/reports", "/audit", "/users", "/tokens", ...(given.paths ?? [])]) {
        await go(path);
        await look(path === "/" ? "overview" : path.slice(1).replaceAll("/", "-"));
    }

    // The other language, dark, and as wide as a telephone.
    await go("/");
    await page.click("form[action='/preferences'] [value=en]");
    await says(page, /Overview/);
    await page.click("form[action='/preferences'] [value=dark]");
    await look("overview-en-dark");
    await page.setViewportSize({ width: 360, height: 780 });
    for (const path of ["/", "/sets", "/runs", "/audit"]) {
        await go(path);
        await picture(page, `phone${path.replaceAll("/", "-")}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        expect(wide <= 360, `${path} is ${wide} pixels wide on a telephone`);
    }
    seen.reused = (await page.goto(given.setup)).status();
    return seen;
});
