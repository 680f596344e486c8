//! Passwords: what one has to be, and argon2id with the parameters that OWASP recommends. Few are hashed at once, so that logins cannot
//! exhaust the memory.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use super::error::{AccessError, Refusal};
use super::secret;

/// Characters of a password, at least.
pub const PASSWORD_MIN: usize = 12;
/// Bytes of a password, at most: more is no password but an attempt to keep the processor busy.
pub const PASSWORD_MAX: usize = 1_024;
/// OWASP's password storage cheat sheet: 19 MiB (in KiB), two passes, one lane.
const MEMORY: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Passwords that are hashed at once: 38 MiB.
const AT_ONCE: usize = 2;
/// Those that wait for their turn; each holds a thread.
const WAITING: usize = 16;
/// Stands in for the salt where there is no such user.
const NOBODY: &[u8; 16] = b"nobody has this.";

/// Whether it may be the password of this user.
pub(super) fn check(password: &str, name: &str) -> Result<(), Refusal> {
    if password.len() > PASSWORD_MAX {
        return Err(Refusal::PasswordLong);
    }
    if password.chars().count() < PASSWORD_MIN {
        return Err(Refusal::PasswordShort);
    }
    if password.trim().to_lowercase() == name { Err(Refusal::PasswordIsName) } else { Ok(()) }
}

/// Hashes passwords, a few at a time.
#[derive(Debug, Default)]
pub(super) struct Hasher {
    busy: Mutex<Busy>,
    freed: Condvar,
    #[cfg(test)]
    pub(super) hashed: std::sync::atomic::AtomicU32,
}

#[derive(Debug, Default)]
struct Busy {
    running: usize,
    waiting: usize,
}

/// The right to hash one password.
pub(super) struct Turn<'a>(&'a Hasher);

impl Hasher {
    fn busy(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; `None` where too many wait already.
    pub(super) fn turn(&self) -> Option<Turn<'_>> {
        let mut busy = self.busy();
        if busy.running >= AT_ONCE {
            if busy.waiting >= WAITING {
                return None;
            }
            busy.waiting += 1;
            busy = self.freed.wait_while(busy, |busy| busy.running >= AT_ONCE).unwrap_or_else(PoisonError::into_inner);
            busy.waiting -= 1;
        }
        busy.running += 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy().running -= 1;
        self.0.freed.notify_one();
    }
}

impl Turn<'_> {
    /// What is stored of a password: a PHC string with parameters and salt.
    pub(super) fn hash(&self, password: &str) -> Result<String, AccessError> {
        self.count();
        let salt = secret::random::<16>()?;
        let hash: Result<PasswordHash, _> = argon2()?.hash_password_with_salt(password.as_bytes(), &*salt);
        hash.map(|hash| hash.to_string()).map_err(|error| AccessError::Hash(error.to_string()))
    }

    /// Whether it is the password that `stored` was made of. Without one the answer is no, after the same work.
    pub(super) fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, AccessError> {
        self.count();
        // What is too long is no password of anybody; its beginning is worth the same work.
        let bytes = &password.as_bytes()[..password.len().min(PASSWORD_MAX)];
        let Some(stored) = stored else {
            let work = argon2()?.hash_password_into(bytes, NOBODY, &mut [0; Params::DEFAULT_OUTPUT_LEN]);
            return work.map(|()| false).map_err(|error| AccessError::Hash(error.to_string()));
        };
        match argon2()?.verify_password(bytes, stored) {
            Ok(()) => Ok(password.len() <= PASSWORD_MAX),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => {
                Err(AccessError::Hash(format!("what is stored of it is damaged ({error}); set another with `cofre user password`")))
            }
        }
    }

    #[cfg(test)]
    fn count(&self) {
        self.0.hashed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn count(&self) {}
}

fn argon2() -> Result<Argon2<'static>, AccessError> {
    let parameters = Params::new(MEMORY, PASSES, LANES, None).map_err(|error| AccessError::Hash(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_enough_and_not_the_name() {
        assert_eq!(check("doze letras!", "maria"), Ok(()));
        assert_eq!(check("ñññññññññññ", "maria"), Err(Refusal::PasswordShort));
        assert_eq!(check(&"a".repeat(PASSWORD_MAX), "maria"), Ok(()));
        assert_eq!(check(&"a".repeat(PASSWORD_MAX + 1), "maria"), Err(Refusal::PasswordLong));
        assert_eq!(check("Maria.de.Souza", "maria.de.souza"), Err(Refusal::PasswordIsName));
    }

    #[test]
    fn what_is_stored_is_argon2id_with_its_parameters_and_proves_the_password_only() {
        let hasher = Hasher::default();
        let turn = hasher.turn().expect("free");
        let stored = turn.hash("uma frase comprida").expect("hashed");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(turn.hash("uma frase comprida").expect("hashed"), stored, "the salt is random");
        assert!(turn.verify("uma frase comprida", Some(&stored)).expect("verified"));
        assert!(!turn.verify("uma frase comprida ", Some(&stored)).expect("verified"));
        assert!(!turn.verify("uma frase comprida", None).expect("verified"));
        let longest = turn.hash(&"a".repeat(PASSWORD_MAX)).expect("hashed");
        assert!(!turn.verify(&"a".repeat(PASSWORD_MAX + 1), Some(&longest)).expect("verified"));
        assert!(
            turn.verify("uma frase comprida", Some("$argon2id$nonsense")).expect_err("damaged").to_string().contains("cofre user password")
        );
    }

    #[test]
    fn two_are_hashed_at_once_and_only_so_many_wait() {
        let hasher = Hasher::default();
        let (first, second) = (hasher.turn().expect("free"), hasher.turn().expect("free"));
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..WAITING).map(|_| scope.spawn(|| hasher.turn().is_some())).collect();
            while hasher.busy().waiting < WAITING {
                std::thread::yield_now();
            }
            assert!(hasher.turn().is_none(), "the queue is full");
            assert_eq!(hasher.busy().running, AT_ONCE);
            drop((first, second));
            assert!(waiting.into_iter().all(|thread| thread.join().expect("ended")));
        });
        let left = hasher.busy();
        assert_eq!((left.running, left.waiting), (0, 0));
    }
}
