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

    // A table of it into a new schema, by the wizard.
    await page.click("main a[href^='/restore?set=']");
    await look("restore-what");
    await page.click("main a[href*='acme_erp']");
    await picture(page, "restore-tables");
    await page.check(`input[name=item][value$='${given.table}']`);
    await page.click("main form:has([name=step][value=where]) button[type=submit]");
    await look("restore-where");
    await page.check("input[name=target][value=schema]");
    await page.fill("[name=schema]", "acme_conferencia");
    await page.click("main form:has([name=step][value=plan]) button[type=submit]");
    await page.waitForSelector("[name=confirm]");
    await look("restore-plan");
    await page.fill("[name=confirm]", "acme_conferencia");
    await page.click("main form:has([name=confirm]) button[type=submit]");
    await page.waitForURL(/\/runs\/.+/);
    await says(page, /concluído/, 120_000);
    await look("restore-done");

    // A destination through its form: tried, shown as a difference, saved, and in use.
    await go("/settings");
    await look("settings");
    await go("/settings/destinations?new=local");
    await picture(page, "destination-new");
    await page.locator("form [name='f.name'], form input[name=name]:not([type=hidden])").first().fill("segundo");
    await page.fill("[name='grants.directory']", given.second);
    await page.click("main button[value=save]");
    await says(page, /O que muda/);
    await look("settings-difference");
    await page.click("main form:has([name=action][value=write]) button.primary");
    await says(page, /segundo/);
    await go("/settings/destinations?name=segundo");
    await page.click("main button[value=test]");
    await page.waitForSelector("#trial");
    await look("destination-tested");
    seen.trial = await page.innerText("#trial");
    for (const area of ["databases", "directories", "notifiers", "schedules", "retention"]) {
        await go(`/settings/${area}`);
        await look(`settings-${area}`);
    }

    // A plug-in that waits is approved.
    await go("/plugins");
    await look("plugins");
    await page.click("main form:has([name=action][value=approve]) button");
    await page.waitForLoadState();
    await picture(page, "plugins-approved");
    seen.waiting = await page.locator("main form:has([name=action][value=approve])").count();

    // A tenant's backup by mail; its passphrase is on the page of the task, once.
    await go("/tenants");
    await page.fill("[name=tenant]", "acme");
    await page.fill("[name=email]", given.recipient);
    await page.click("main form button[type=submit]");
    await page.waitForURL(/\/runs\/.+/);
    await says(page, /concluído/, 120_000);
    await says(page, /mostrada só agora/);
    await picture(page, "tenant-done");
    seen.passphrase = (await page.innerText("main")).match(/([0-9a-z]{5}-){5}[0-9a-z]{5}/)?.[0];
    await page.reload();
    seen.again = (await page.innerText("main")).includes(seen.passphrase);
    await go("/tenants");
    await look("tenants");

    // What is wrong is on the overview, and is no longer there once it is mended.
    const { createServer } = await import("node:net");
    const until = async (holds) => {
        for (const end = Date.now() + 60_000; !holds(await page.innerText("#overview")); await page.waitForTimeout(200)) {
            expect(Date.now() < end, "the overview changed");
            await go("/");
        }
    };
    await go("/");
    await until((text) => text.includes("porta"));
    await look("overview-alert");
    const mended = createServer((socket) => socket.end()).listen(given.port, "127.0.0.1");
    await until((text) => !text.includes("porta"));
    await look("overview-mended");
    mended.close();

    for (const path of ["/runs", "/checks", "/reports", "/audit", "/users", "/tokens"]) {
        await go(path);
        await look(path.slice(1));
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
