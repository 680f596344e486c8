//! The second factor: codes of six digits that change every 30 seconds (RFC 6238 with SHA-1, which is what authenticator apps speak), each
//! good for one login; and recovery codes for whoever lost the device.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::error::{AccessError, Refusal};
use super::user::found;
use super::{Access, name, secret};

/// Seconds for which a code is shown.
const STEP: i64 = 30;
/// Steps that the clocks of both may be apart.
const DRIFT: i64 = 1;
const DIGITS: usize = 6;
/// Bytes of the secret: as many as SHA-1 gives, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
/// Recovery codes that a user gets.
const RECOVERY_CODES: usize = 10;
/// Bytes of one, and characters as it is typed.
const RECOVERY_BYTES: usize = 10;
const RECOVERY_LEN: usize = 16;
/// Longest code as somebody types it, in bytes, with blanks and dashes.
const TYPED_MAX: usize = 64;

/// What a person's authenticator app has to know. It is shown once.
pub struct TotpSetup {
    /// The secret in base32, to be typed.
    pub secret: Zeroizing<String>,
    /// The same as an `otpauth:` address, for a QR code.
    pub uri: Zeroizing<String>,
}

impl std::fmt::Debug for TotpSetup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSetup(…)")
    }
}

impl Access {
    /// Makes a secret for a user's second factor, which is asked for only once [`Self::confirm_totp`] has seen a code of it. `issuer` is
    /// what the app shows beside the name: this machine.
    ///
    /// # Errors
    /// When there is no such user, or it cannot be stored.
    pub fn begin_totp(&self, user: &str, issuer: &str) -> Result<TotpSetup, AccessError> {
        let (name, bytes) = (name::user(user)?, secret::random::<SECRET_BYTES>()?);
        let sql = "UPDATE users SET totp_pending = ?2 WHERE name = ?1";
        found(self.connection().execute(sql, params![name, bytes.as_slice()])?, &name)?;
        let secret = secret::upper_base32(&*bytes);
        let [issuer, name] = [issuer, &name].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        let uri = Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{name}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP}",
            *secret
        ));
        Ok(TotpSetup { secret, uri })
    }

    /// Has the second factor asked for from now on, if the code shows that the app knows the secret. The recovery codes are here for the
    /// only time; those of before are of no use any more.
    ///
    /// # Errors
    /// When the code is wrong, nothing was begun, or it cannot be stored.
    pub fn confirm_totp(&self, user: &str, code: &str, now: Timestamp) -> Result<Vec<Zeroizing<String>>, AccessError> {
        let name = name::user(user)?;
        let codes = (0..RECOVERY_CODES).map(|_| recovery_code()).collect::<Result<Vec<_>, _>>()?;
        self.change(|transaction| {
            let sql = "SELECT totp_pending FROM users WHERE name = ?1";
            let pending: Option<Option<Vec<u8>>> = transaction.query_row(sql, [&name], |row| row.get(0)).optional()?;
            let pending = Zeroizing::new(pending.ok_or_else(|| Refusal::NoUser(name.clone()))?.ok_or(Refusal::TotpNotBegun)?);
            let step = step_of(&pending, &typed(code), now).ok_or(Refusal::TotpCode)?;
            let sql = "UPDATE users SET totp = totp_pending, totp_pending = NULL, totp_step = ?2 WHERE name = ?1";
            transaction.execute(sql, params![name, step])?;
            transaction.execute("DELETE FROM recovery_codes WHERE user = ?1", [&name])?;
            for code in &codes {
                let sql = "INSERT INTO recovery_codes (user, hash) VALUES (?1, ?2)";
                transaction.execute(sql, params![name, secret::digest(&typed(code))])?;
            }
            Ok(())
        })?;
        Ok(codes)
    }

    /// Has the second factor not asked for any more, and forgets its secret and the recovery codes.
    ///
    /// # Errors
    /// When there is no such user, or it cannot be stored.
    pub fn disable_totp(&self, user: &str) -> Result<(), AccessError> {
        let name = name::user(user)?;
        self.change(|transaction| {
            transaction.execute("DELETE FROM recovery_codes WHERE user = ?1", [&name])?;
            let sql = "UPDATE users SET totp = NULL, totp_pending = NULL, totp_step = 0 WHERE name = ?1";
            found(transaction.execute(sql, [&name])?, &name)
        })
    }
}

/// The secret of a user's second factor, where one is asked for.
pub(super) fn secret_of(connection: &Connection, name: &str) -> rusqlite::Result<Option<Zeroizing<Vec<u8>>>> {
    let found: Option<Option<Vec<u8>>> =
        connection.query_row("SELECT totp FROM users WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    Ok(found.flatten().map(Zeroizing::new))
}

/// Takes a code of a user as used; whether it is one that was not.
pub(super) fn spend(transaction: &Transaction<'_>, name: &str, code: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let code = typed(code);
    if code.len() == RECOVERY_LEN {
        let sql = "DELETE FROM recovery_codes WHERE user = ?1 AND hash = ?2";
        return Ok(transaction.execute(sql, params![name, secret::digest(&code)])? > 0);
    }
    let Some(step) = secret_of(transaction, name)?.and_then(|secret| step_of(&secret, &code, now)) else { return Ok(false) };
    // A code that was seen once, over a shoulder or on the wire, is of no use, nor is one before it.
    let sql = "UPDATE users SET totp_step = ?2 WHERE name = ?1 AND totp_step < ?2";
    Ok(transaction.execute(sql, params![name, step])? > 0)
}

/// A code as it is compared: without the blanks and dashes that people put in; empty where it is far too long.
fn typed(code: &str) -> Zeroizing<String> {
    if code.len() > TYPED_MAX {
        return Zeroizing::default();
    }
    let letters = code.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    let mut plain = Zeroizing::new(String::with_capacity(TYPED_MAX));
    plain.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    plain
}

/// Four groups of four letters and digits: 80 bits.
fn recovery_code() -> Result<Zeroizing<String>, AccessError> {
    let plain = secret::lower_base32(&*secret::random::<RECOVERY_BYTES>()?);
    let mut code = Zeroizing::new(String::with_capacity(RECOVERY_LEN + 3));
    for (at, letter) in plain.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        code.push(letter);
    }
    Ok(code)
}

/// The step that a code is of, among those that are near.
fn step_of(secret: &[u8], code: &str, now: Timestamp) -> Option<i64> {
    if code.len() != DIGITS {
        return None;
    }
    let current = now.as_second().div_euclid(STEP);
    // All are compared, whichever it is.
    let fitting = (current - DRIFT..=current + DRIFT).filter(|step| secret::same(code_at(secret, *step).as_bytes(), code.as_bytes()));
    fitting.collect::<Vec<_>>().first().copied()
}

/// RFC 4226, section 5.3, with the step for a counter.
fn code_at(secret: &[u8], step: i64) -> Zeroizing<String> {
    let mac = Hmac::<Sha1>::new_from_slice(secret).map(|hmac| hmac.chain_update(step.to_be_bytes()).finalize().into_bytes());
    let Ok(mac) = mac else { return Zeroizing::default() };
    let offset = usize::from(mac[mac.len() - 1] & 0x0f);
    let word = u32::from_be_bytes([mac[offset], mac[offset + 1], mac[offset + 2], mac[offset + 3]]) & 0x7fff_ffff;
    Zeroizing::new(format!("{:0DIGITS$}", word % 1_000_000))
}

#[cfg(test)]
pub(super) fn code_now(base32: &str, now: Timestamp) -> String {
    let secret = data_encoding::BASE32_NOPAD.decode(base32.as_bytes()).expect("base32");
    code_at(&secret, now.as_second().div_euclid(STEP)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the SHA-1 rows; the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(*code_at(b"12345678901234567890", second / STEP), code);
        }
    }

    #[test]
    fn a_code_holds_a_step_before_and_after_and_no_longer() {
        let (secret, at) = (b"12345678901234567890", |second| Timestamp::from_second(second).expect("a moment"));
        for (second, holds) in
            [(1_111_111_109 - 60, false), (1_111_111_109 - 30, true), (1_111_111_109 + 30, true), (1_111_111_109 + 61, false)]
        {
            assert_eq!(step_of(secret, "081804", at(second)).is_some(), holds, "{second}");
        }
        assert_eq!(step_of(secret, "", at(59)), None);
        assert_eq!(step_of(secret, "87082", at(59)), None);
    }

    #[test]
    fn codes_are_read_as_people_type_them() {
        assert_eq!(*typed(" 287 082\n"), "287082");
        assert_eq!(*typed("ABCD-efgh ijkl-mnop"), "abcdefghijklmnop");
        assert_eq!(*typed(&"1".repeat(65)), "");
        let code = recovery_code().expect("made");
        assert_eq!((code.len(), typed(&code).len()), (19, RECOVERY_LEN));
    }
}
