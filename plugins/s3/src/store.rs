//! The verbs on finished objects, and the probe.

use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_types::date_time::Format;
use cofre_sdk::http::Method;
use cofre_sdk::{Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink};

use crate::address::decode;
use crate::client::{Ask, Client, Head, unix_ms};
use crate::lock;
use crate::settings::Settings;
use crate::transport::{Answer, Network};
use crate::upload::{S3Upload, send_digested};
use crate::xml::{self, Listing};

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
const PROBE: &str = ".cofre-probe";

/// Longest life of an address to download from, by the protocol: seven days.
const LONGEST_SHARE: u32 = 604_800;

/// Bytes that a read moves at once.
const CHUNK: usize = 256 << 10;

/// Objects in a bucket.
pub struct S3 {
    client: Rc<Client>,
}

impl S3 {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Rc::new(client) }
    }

    fn remove(&self, key: &str) -> Result<()> {
        match self.client.send(Ask::new(Method::Delete, &self.client.key(key)?)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }

    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let content = b"cofre was here\n";
        let full_key = self.client.key(PROBE)?;
        let mut headers = self.client.storage_headers();
        headers.extend(lock::probe_headers(&self.client.settings, SystemTime::now())?);
        send_digested(&self.client, Ask { headers, body: content, ..Ask::new(Method::Put, &full_key) })
            .map_err(|error| lock::of_new_object(&self.client, error))
            .context("cannot write the probe object")?;
        let found = self.client.send_for_body(Ask::new(Method::Get, &full_key)).context("cannot read the probe object back")?;
        if found == content { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }
}

impl Destination for S3 {
    type Settings = Settings;
    type Upload = S3Upload;

    const NAME: &'static str = "s3";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects in a bucket of Amazon S3 or of any service that speaks its protocol.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("{endpoint}", "the service, where `endpoint` is set"),
            NetworkNeed::new("{bucket}.{endpoint}", "the bucket, where `endpoint` is set and `path_style` is false"),
            NetworkNeed::new("{bucket}.s3.{region}.amazonaws.com:443", "the bucket at Amazon, where `endpoint` is not set"),
            NetworkNeed::new("s3.{region}.amazonaws.com:443", "Amazon, where `endpoint` is not set and the bucket stands in the path"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::required("access_key_id", "access key identifier of an account that may use the bucket"),
            SecretNeed::required("secret_access_key", "the secret of that access key"),
            SecretNeed::optional("session_token", "session token, with temporary credentials"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        let (id, key) = (cofre_sdk::secret("access_key_id")?, cofre_sdk::secret("secret_access_key")?);
        let token = cofre_sdk::optional_secret("session_token").map(|token| token.expose().trim().to_owned());
        let credentials = Credentials::from_keys(id.expose().trim(), key.expose().trim(), token.filter(|token| !token.is_empty()));
        Ok(Self::new(Client::new(settings, credentials, Box::new(Network))?))
    }

    fn probe(&self) -> Result<Limits> {
        self.write_probe().with_context(|| format!("the bucket {} cannot be used", self.client.settings.bucket))?;
        match self.remove(PROBE) {
            // An account that may not delete is a good one for backups.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}"),
            deleted => deleted?,
        }
        let settings = &self.client.settings;
        Ok(Limits {
            part_size: Some(settings.part_size),
            max_object_size: Some(settings.max_object_size()),
            parallel_uploads: settings.parallel_uploads,
            free_bytes: None,
        })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<S3Upload> {
        S3Upload::begin(Rc::clone(&self.client), key, size)
    }

    fn resume(&self, key: &str, token: &str) -> Result<S3Upload> {
        S3Upload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let reading = || format!("cannot read {key}");
        let full_key = self.client.key(key)?;
        if range.length == Some(0) {
            let size = self.client.head(&full_key).with_context(reading)?.size;
            return range.length_in(size).with_context(reading).map(drop);
        }
        let header = match range {
            Range { offset: 0, length: None } => None,
            Range { offset, length: None } => Some(format!("bytes={offset}-")),
            Range { offset, length: Some(length) } => Some(format!("bytes={offset}-{}", offset.saturating_add(length - 1))),
        };
        let headers = header.iter().map(|header| ("range", header.clone())).collect();
        let answer = match self.client.send(Ask { headers, ..Ask::new(Method::Get, &full_key) }) {
            // No byte follows the last one; the empty rest of an object is a range all the same.
            Err(error) if error.detail("status") == Some("416") && range.length.is_none() => {
                let size = self.client.head(&full_key).with_context(reading)?.size;
                return range.length_in(size).with_context(reading).map(drop);
            }
            answer => answer.with_context(reading)?,
        };
        let length = promised(&answer, range).with_context(reading)?;
        copy(answer, length, sink).with_context(reading)
    }

    fn stat(&self, key: &str) -> Result<Object> {
        let head = self.client.head(&self.client.key(key)?).with_context(|| format!("cannot look at {key}"))?;
        Ok(head.object(key))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let full_prefix = self.client.with_prefix(prefix);
        let mut query = vec![("encoding-type", "url"), ("list-type", "2"), ("max-keys", "1000"), ("prefix", full_prefix.as_str())];
        query.extend(cursor.map(|cursor| ("continuation-token", cursor)));
        query.sort_unstable();
        let listing = || format!("cannot list {prefix}*");
        let body = self.client.send_for_body(Ask { query: &query, ..Ask::new(Method::Get, "") }).with_context(listing)?;
        let page: Listing = xml::read(&body, "listing").with_context(listing)?;
        if page.is_truncated && page.next_continuation_token.is_none() {
            return Err(Error::other(format!("{}: the service says there is more and not where", listing())));
        }
        let root = self.client.with_prefix("");
        let encoded = page.encoding_type.as_deref() == Some("url");
        let mut objects = Vec::with_capacity(page.contents.len());
        for listed in page.contents {
            // A key that is no UTF-8 is none of ours, and neither is the probe.
            let Some(key) = (if encoded { decode(&listed.key) } else { Some(listed.key) }) else { continue };
            let Some(key) = key.strip_prefix(&root).filter(|key| !key.is_empty() && *key != PROBE) else { continue };
            let modified_unix_ms = listed.last_modified.and_then(|text| unix_ms(&text, Format::DateTime));
            objects.push(Object { key: key.to_owned(), size: listed.size, modified_unix_ms, checksum: None });
        }
        Ok(Page { objects, cursor: page.next_continuation_token.filter(|_| page.is_truncated) })
    }

    fn delete(&self, key: &str) -> Result<()> {
        let removing = || format!("cannot remove {key}");
        // A bucket with locks has versions: it would hide a locked object, and go on keeping it.
        match self.client.head(&self.client.key(key)?) {
            Ok(Head { kept: Some(why), .. }) => return Err(Error::access_denied(format!("{}: the service keeps it {why}", removing()))),
            // An account that may not look may still be one that may remove; and what is missing may be the bucket.
            Err(error) if !matches!(error.kind(), ErrorKind::AccessDenied | ErrorKind::NotFound) => {
                return Err(error).with_context(removing);
            }
            _ => {}
        }
        self.remove(key).with_context(removing)
    }

    fn protect(&self, key: &str, until_unix_ms: u64) -> Result<()> {
        lock::extend(&self.client, &self.client.key(key)?, until_unix_ms).with_context(|| format!("cannot protect {key}"))
    }

    fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String> {
        let sharing = || format!("cannot share {key}");
        if !(1..=LONGEST_SHARE).contains(&lifetime_seconds) {
            return Err(Error::invalid_config(format!("{}: an address lives for 1 to {LONGEST_SHARE} seconds (seven days)", sharing())));
        }
        let full_key = self.client.key(key)?;
        // An address of nothing would be found out by whoever it is given to.
        self.client.head(&full_key).with_context(sharing)?;
        self.client.presigned(&full_key, Duration::from_secs(lifetime_seconds.into()), SystemTime::now()).with_context(sharing)
    }
}

/// How many bytes an answer to a ranged read brings; refused where that is not the range.
fn promised(answer: &Answer, range: Range) -> Result<u64> {
    let length: u64 = answer
        .header("content-length")
        .and_then(|length| length.trim().parse().ok())
        .ok_or_else(|| Error::integrity("the service does not say how many bytes it sends"))?;
    if answer.status == 206 {
        let begins = answer.header("content-range").and_then(|text| text.strip_prefix("bytes ")).and_then(|text| text.split_once('-'));
        if begins.is_some_and(|(first, _)| first.trim().parse() != Ok(range.offset)) {
            return Err(Error::integrity(format!("the service sends another range than {range:?}")));
        }
    } else if range.offset != 0 {
        return Err(Error::integrity(format!("the service ignored the range {range:?}")));
    }
    match range.length {
        Some(wanted) if length < wanted => Err(Error::invalid_config(format!("the range {range:?} goes beyond the object"))),
        Some(wanted) if length > wanted => Err(Error::integrity(format!("the service ignored the range {range:?}"))),
        _ => Ok(length),
    }
}

/// Moves exactly `length` bytes of an answer.
fn copy(mut answer: Answer, length: u64, sink: &mut Sink) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = answer.body.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(Error::integrity(format!("the answer ended {left} of {length} bytes early")));
        }
        sink.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::fake::store;

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn get(store: &S3, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let shared = Arc::new(Mutex::new(Vec::new()));
        store.read("a", Range { offset, length }, &mut Sink::from_writer(Shared(Arc::clone(&shared))))?;
        let bytes = shared.lock().expect("whole").clone();
        Ok(bytes)
    }

    #[test]
    fn a_range_is_read_exactly_and_never_beyond_the_end() {
        let (store, bucket) = store("");
        bucket.borrow_mut().objects.insert("a".to_owned(), b"0123456789".to_vec());
        assert_eq!(get(&store, 0, None).expect("read"), b"0123456789");
        assert_eq!(get(&store, 3, Some(4)).expect("read"), b"3456");
        assert_eq!(get(&store, 8, None).expect("read"), b"89");
        assert_eq!(get(&store, 10, None).expect("the empty rest"), b"");
        assert_eq!(get(&store, 10, Some(0)).expect("nothing"), b"");
        for (offset, length) in [(8, Some(3)), (11, None), (11, Some(0)), (12, Some(1))] {
            assert_eq!(get(&store, offset, length).expect_err("beyond").kind(), ErrorKind::InvalidConfig, "{offset} {length:?}");
        }
    }

    #[test]
    fn a_service_that_ignores_the_range_or_sends_less_is_not_believed() {
        for (headers, body) in [
            (vec![], "0123456789"),
            (vec![("content-range", "bytes 0-3/10")], "0123"),
            (vec![("content-length", "4"), ("content-range", "bytes 3-6/10")], "34"),
        ] {
            let (store, bucket) = store("");
            let status = if headers.is_empty() { 200 } else { 206 };
            bucket.borrow_mut().faults.push(("GET a", status, headers, body));
            assert_eq!(get(&store, 3, Some(4)).expect_err("not the range").kind(), ErrorKind::Integrity, "{body}");
        }
    }

    #[test]
    fn the_whole_object_is_not_taken_for_its_rest() {
        let (store, bucket) = store("");
        bucket.borrow_mut().faults.push(("GET a", 200, vec![], "0123456789"));
        assert_eq!(get(&store, 3, None).expect_err("not the range").kind(), ErrorKind::Integrity);
    }

    #[test]
    fn a_listing_pages_and_gives_back_the_keys_that_were_stored() {
        let (store, bucket) = store(r#", "prefix": "p/q""#);
        let keys = ["a b", "a+b", "a%b", "set/ação", "set/x"];
        for key in keys {
            bucket.borrow_mut().objects.insert(format!("p/q/{key}"), vec![0; key.len()]);
        }
        bucket.borrow_mut().objects.insert("p/qother".to_owned(), vec![]);
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list("", cursor.as_deref()).expect("listed");
            found.extend(page.objects);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let mut names: Vec<_> = found.iter().map(|object| object.key.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a b", "a%b", "a+b", "set/ação", "set/x"]);
        assert_eq!(found[0].modified_unix_ms, Some(1_369_353_600_000));
        let set = store.list("set/", None).expect("listed").objects;
        assert_eq!(set.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["set/ação", "set/x"]);
    }

    #[test]
    fn the_probe_cleans_up_and_accepts_an_account_that_may_not_delete() {
        let (store, bucket) = store("");
        assert_eq!(store.probe().expect("it works").part_size, Some(5 << 20));
        assert!(bucket.borrow().objects.is_empty());
        bucket.borrow_mut().faults.push(("DELETE", 403, vec![], "<Error><Code>AccessDenied</Code></Error>"));
        store.probe().expect("it still works");
        assert_eq!(store.list("", None).expect("listed").objects, []);
        bucket.borrow_mut().faults.push(("PUT", 404, vec![], "<Error><Code>NoSuchBucket</Code></Error>"));
        assert_eq!(store.probe().expect_err("no bucket").kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn what_is_kept_stays_until_its_time_has_passed() {
        let (store, bucket) = store("");
        let (hold, until) = ("x-amz-object-lock-legal-hold", "x-amz-object-lock-retain-until-date");
        for (headers, says) in [
            (vec![(hold, "ON"), (until, "2020-01-01T00:00:00Z")], Some("legal hold")),
            (vec![(hold, "OFF"), (until, "2999-01-01T00:00:00.000Z")], Some("until 2999")),
            (vec![(until, "tomorrow")], Some("until tomorrow")),
            (vec![(hold, "OFF"), (until, "2020-01-01T00:00:00Z")], None),
            (vec![], None),
        ] {
            bucket.borrow_mut().objects.insert("a".to_owned(), vec![]);
            bucket.borrow_mut().faults.push(("HEAD a", 200, headers, ""));
            match (store.delete("a"), says) {
                (Ok(()), None) => assert!(bucket.borrow().objects.is_empty()),
                (Err(error), Some(says)) => {
                    assert!(error.kind() == ErrorKind::AccessDenied && error.message().contains(says), "{error}");
                    assert_eq!(bucket.borrow().objects.len(), 1);
                }
                (deleted, _) => panic!("{says:?}: {deleted:?}"),
            }
        }
        bucket.borrow_mut().objects.insert("a".to_owned(), vec![]);
        bucket.borrow_mut().faults.push(("HEAD a", 503, vec![], ""));
        assert!(store.delete("a").is_err(), "nobody knows whether it is kept");
        bucket.borrow_mut().faults.push(("HEAD a", 403, vec![], ""));
        store.delete("a").expect("it may not look, and may remove");
    }

    #[test]
    fn an_address_is_given_for_what_is_there_and_for_seven_days_at_most() {
        let (store, bucket) = store(r#", "prefix": "p""#);
        bucket.borrow_mut().objects.insert("p/a b".to_owned(), vec![]);
        let address = store.share("a b", 604_800).expect("shared");
        assert!(address.starts_with("https://h/bkt/p/a%20b?X-Amz-Algorithm=") && address.contains("X-Amz-Expires=604800"), "{address}");
        for lifetime in [0, 604_801] {
            assert_eq!(store.share("a b", lifetime).expect_err("too long").kind(), ErrorKind::InvalidConfig);
        }
        assert_eq!(store.share("b", 1).expect_err("missing").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_not_there_is_not_found_and_deleting_it_is_success() {
        let (store, _) = store("");
        assert_eq!(store.stat("a").expect_err("missing").kind(), ErrorKind::NotFound);
        assert_eq!(get(&store, 0, None).expect_err("missing").kind(), ErrorKind::NotFound);
        store.delete("a").expect("nothing to remove");
        assert_eq!(store.stat("../a").expect_err("refused").kind(), ErrorKind::InvalidConfig);
    }
}
