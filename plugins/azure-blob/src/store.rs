//! The verbs on finished objects, and the probe.

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use cofre_sdk::http::{Method, read_range};
use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};

use crate::client::{Ask, Client, Credentials, own_key, unix_ms};
use crate::digest::checksum;
use crate::settings::Settings;
use crate::transport::Network;
use crate::upload::AzureUpload;
use crate::xml::{self, Listing};

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
const PROBE: &str = ".cofre-probe";

/// Objects in a container.
pub struct AzureBlob {
    client: Rc<Client>,
}

impl AzureBlob {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Rc::new(client) }
    }

    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let content = b"cofre was here\n";
        let mut upload = self.begin(PROBE, Some(content.len() as u64))?;
        upload.write(&mut Body::from_reader(&content[..], content.len() as u64))?;
        upload.finish()?;
        let full_key = self.client.key(PROBE)?;
        let found = self.client.send_for_body(Ask::new(Method::Get, &full_key)).context("cannot read the probe object back")?;
        if found == content { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }

    fn remove(&self, full_key: &str) -> Result<()> {
        // An object with snapshots goes only with them.
        let headers = vec![("x-ms-delete-snapshots", "include".to_owned())];
        match self.client.send(Ask { headers, ..Ask::new(Method::Delete, full_key) }) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }
}

impl Destination for AzureBlob {
    type Settings = Settings;
    type Upload = AzureUpload;

    const NAME: &'static str = "azure-blob";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects in a container of Azure Blob Storage.";

    fn network() -> Vec<NetworkNeed> {
        vec![
            NetworkNeed::new("{endpoint}", "the service, where `endpoint` is set"),
            NetworkNeed::new("{account}.blob.core.windows.net:443", "the account at Azure, where `endpoint` is not set"),
        ]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![
            SecretNeed::optional("account_key", "access key of the storage account; this or `sas_token`"),
            SecretNeed::optional("sas_token", "token for the container or the account, `sv=…&sig=…`; this or `account_key`"),
        ]
    }

    fn open(settings: Settings) -> Result<Self> {
        settings.check()?;
        let credentials = Credentials::new(&settings)?;
        Ok(Self::new(Client::new(settings, credentials, Box::new(Network))?))
    }

    fn probe(&self) -> Result<Limits> {
        let settings = &self.client.settings;
        let cannot = || format!("the container {} cannot be used", settings.container);
        self.write_probe().with_context(cannot)?;
        match self.client.key(PROBE).and_then(|full_key| self.remove(&full_key)) {
            // An account that may not delete, or a container that protects everything, is a good one for backups.
            Err(error) if matches!(error.kind(), ErrorKind::AccessDenied | ErrorKind::AlreadyExists) => {
                cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}");
            }
            removed => removed.with_context(cannot)?,
        }
        Ok(Limits {
            part_size: Some(settings.part_size),
            max_object_size: Some(settings.max_object_size()),
            parallel_uploads: settings.parallel_uploads,
            free_bytes: None,
        })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<AzureUpload> {
        AzureUpload::begin(Rc::clone(&self.client), key, size)
    }

    fn resume(&self, key: &str, token: &str) -> Result<AzureUpload> {
        AzureUpload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let full_key = self.client.key(key)?;
        let size = || Ok(self.client.properties(&full_key)?.size);
        read_range(range, sink, |range| self.client.get_range(&full_key, range), size).with_context(|| format!("cannot read {key}"))
    }

    fn stat(&self, key: &str) -> Result<Object> {
        let properties = self.client.properties(&self.client.key(key)?).with_context(|| format!("cannot look at {key}"))?;
        Ok(properties.object(key))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let listing = || format!("cannot list {prefix}*");
        let mut query = vec![("restype", "container"), ("comp", "list"), ("maxresults", "1000")];
        let full_prefix = self.client.with_prefix(prefix);
        query.push(("prefix", &full_prefix));
        query.extend(cursor.map(|cursor| ("marker", cursor)));
        let query = query.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        let body = self.client.send_for_body(Ask { query, ..Ask::new(Method::Get, "") }).with_context(listing)?;
        let page: Listing = xml::read(&body, "listing").with_context(listing)?;
        let root = self.client.with_prefix("");
        let mut objects = Vec::with_capacity(page.blobs.all.len());
        for blob in page.blobs.all {
            let is_folder = blob.properties.resource_type.as_deref() == Some("directory");
            // A key that is no UTF-8 is none of ours, and neither is the probe.
            let Some(full) = blob.name.plain().filter(|_| !is_folder) else { continue };
            let Some(key) = own_key(&full, &root).filter(|key| *key != PROBE) else { continue };
            objects.push(Object {
                key: key.to_owned(),
                size: blob.properties.size,
                modified_unix_ms: blob.properties.modified.as_deref().and_then(unix_ms),
                checksum: blob.properties.md5.as_deref().and_then(checksum),
            });
        }
        Ok(Page { objects, cursor: Some(page.next_marker).filter(|marker| !marker.is_empty()) })
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.remove(&self.client.key(key)?).with_context(|| format!("cannot remove {key}"))
    }

    fn protect(&self, key: &str, until_unix_ms: u64) -> Result<()> {
        let protecting = || format!("cannot protect {key}");
        let full_key = self.client.key(key)?;
        let properties = self.client.properties(&full_key).with_context(protecting)?;
        if properties.protected_until_unix_ms.is_some_and(|until| until >= until_unix_ms) {
            return Ok(());
        }
        // The header has whole seconds: rounded up, so that it never ends too early.
        let until = UNIX_EPOCH.checked_add(Duration::from_secs(until_unix_ms.div_ceil(1_000)));
        let until = until.ok_or_else(|| Error::invalid_config(format!("{}: no clock reaches that far", protecting())))?;
        let headers = vec![
            ("x-ms-immutability-policy-until-date", httpdate::fmt_http_date(until)),
            ("x-ms-immutability-policy-mode", self.client.settings.immutability.as_str().to_owned()),
        ];
        let query = vec![("comp", "immutabilityPolicies".to_owned())];
        let answer = self.client.send(Ask { query, headers, ..Ask::new(Method::Put, &full_key) });
        answer.map(drop).map_err(unprotectable).with_context(protecting)
    }

    fn share(&self, key: &str, lifetime_seconds: u32) -> Result<String> {
        let sharing = || format!("cannot share {key}");
        let full_key = self.client.key(key)?;
        // An address of nothing would be given out without a word.
        self.client.properties(&full_key).with_context(sharing)?;
        let address = self.client.download_address(&full_key, Duration::from_secs(lifetime_seconds.into()));
        address.ok_or_else(|| Error::unsupported(format!("{}: only the secret `account_key` can sign an address", sharing())))
    }
}

/// A container without version-level immutability refuses a policy as a bad or conflicting request.
fn unprotectable(error: Error) -> Error {
    match error.detail("status") {
        Some("400" | "409") => Error::unsupported(format!(
            "the container keeps no object from being removed; enable version-level immutability for it ({error})"
        )),
        _ => error,
    }
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

    fn get(store: &AzureBlob, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let shared = Arc::new(Mutex::new(Vec::new()));
        store.read("a", Range { offset, length }, &mut Sink::from_writer(Shared(Arc::clone(&shared))))?;
        let bytes = shared.lock().expect("whole").clone();
        Ok(bytes)
    }

    #[test]
    fn a_range_is_read_exactly_and_never_beyond_the_end() {
        let (store, container) = store("");
        container.borrow_mut().put("a", b"0123456789");
        assert_eq!(get(&store, 0, None).expect("read"), b"0123456789");
        assert_eq!(get(&store, 3, Some(4)).expect("read"), b"3456");
        assert_eq!(get(&store, 10, None).expect("the empty rest"), b"");
        for (offset, length) in [(8, Some(3)), (11, None), (12, Some(1))] {
            assert_eq!(get(&store, offset, length).expect_err("beyond").kind(), ErrorKind::InvalidConfig, "{offset} {length:?}");
        }
    }

    #[test]
    fn a_listing_pages_and_gives_back_the_keys_that_were_stored() {
        let (store, container) = store(r#", "prefix": "p/q""#);
        for key in ["a b", "a+b", "a%b", "set/ação", "set/x&y", PROBE] {
            container.borrow_mut().put(&format!("p/q/{key}"), key.as_bytes());
        }
        container.borrow_mut().put("p/qother", b"");
        let (mut names, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list("", cursor.as_deref()).expect("listed");
            names.extend(page.objects.into_iter().map(|object| object.key));
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(names, ["a b", "a%b", "a+b", "set/ação", "set/x&y"]);
        assert_eq!(store.list("set/", None).expect("listed").objects.len(), 2);
    }

    #[test]
    fn protection_is_asked_for_once_and_never_shortened() {
        let (store, container) = store(r#", "immutability": "unlocked""#);
        container.borrow_mut().put("a", b"x");
        store.protect("a", 1_800_000_000_001).expect("protected");
        assert_eq!(container.borrow().objects["a"].policy.as_ref().expect("a policy").0, "Fri, 15 Jan 2027 08:00:01 GMT");
        assert_eq!(container.borrow().objects["a"].policy.as_ref().expect("a policy").1, "unlocked");
        let before = container.borrow().requests.len();
        store.protect("a", 1_700_000_000_000).expect("already longer");
        assert_eq!(container.borrow().requests[before..], ["HEAD a"]);
        container.borrow_mut().fault("comp=immutabilityPolicies", 409, "ImmutableStorageWithVersioningNotEnabled");
        assert_eq!(store.protect("a", 1_900_000_000_000).expect_err("refused").kind(), ErrorKind::Unsupported);
        assert_eq!(store.protect("b", 1_900_000_000_000).expect_err("nothing there").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn the_probe_cleans_up_and_accepts_an_account_that_may_not_delete() {
        let (store, container) = store("");
        assert_eq!(store.probe().expect("it works").part_size, Some(4 << 20));
        assert!(container.borrow().objects.is_empty());
        container.borrow_mut().fault("DELETE", 403, "AuthorizationPermissionMismatch");
        store.probe().expect("it still works");
        assert_eq!(store.list("", None).expect("listed").objects, []);
        container.borrow_mut().fault("PUT", 404, "ContainerNotFound");
        assert_eq!(store.probe().expect_err("no container").kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn what_is_not_there_is_not_found_and_deleting_it_is_success() {
        let (store, _) = store("");
        assert_eq!(store.stat("a").expect_err("missing").kind(), ErrorKind::NotFound);
        assert_eq!(get(&store, 0, None).expect_err("missing").kind(), ErrorKind::NotFound);
        store.delete("a").expect("nothing to remove");
        assert_eq!(store.stat("../a").expect_err("refused").kind(), ErrorKind::InvalidConfig);
        assert_eq!(store.share("a", 60).expect_err("a token cannot sign").kind(), ErrorKind::NotFound);
    }
}
