// Login at a provider of identities: somebody whom cofre knows gets in where they wanted to go, and somebody else is told why not.

import { drive, expect, given, picture, says, serious } from "./browser.js";

/** Types a name at the provider, and agrees that cofre learns it. */
async function agree(page, name) {
    await page.fill("[name=login]", name);
    await page.fill("[name=password]", "whatever it is");
    await page.click("button[type=submit]");
    await page.click("form[action*=interaction] button[type=submit]");
}

drive(async (page) => {
    await page.goto(given.address + "/sets");
    await page.waitForURL(/\/login/);
    await picture(page, "login");
    const axe = await serious(page);
    await page.click("a[href^='/login/oidc']");
    await page.waitForURL((address) => address.origin === given.issuer);
    await agree(page, "ana");
    await page.waitForURL(given.address + "/sets");
    const cookies = await page.context().cookies(given.address);
    await page.goto(given.address + "/account");
    await says(page, /esta/);
    await picture(page, "account");

    // Without its own browser's cookie, what a provider sends back is nobody's.
    const stolen = await page.request.get(given.address + "/login/oidc/callback?code=x&state=y", { headers: { cookie: "" } });
    expect(stolen.status() === 422, `a callback without a login answers ${stolen.status()}`);

    await page.context().clearCookies();
    await page.goto(given.address + "/login");
    await page.click("a[href^='/login/oidc']");
    await agree(page, "rui");
    await says(page, /rui/);
    await picture(page, "stranger");
    const refused = new URL(page.url()).pathname;
    await page.goto(given.address + "/sets");
    await page.waitForURL(/\/login/);

    // Somebody who says no at the provider comes back to the login page.
    await page.context().clearCookies();
    await page.goto(given.address + "/login");
    await page.click("a[href^='/login/oidc']");
    await page.click("a[href*=abort]");
    await says(page, /recus|aborted/i);
    return { axe, refused, cookies: cookies.map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })) };
});
