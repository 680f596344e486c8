//! The verbs on finished objects, and the probe.

use std::rc::Rc;

use cofre_sdk::http::{Method, read_range};
use cofre_sdk::{
    Body, Context as _, Destination, Error, ErrorKind, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload as _,
};

use crate::client::{Client, Listed};
use crate::settings::{Settings, check_key};
use crate::transport::Network;
use crate::upload::{RestUpload, wants_tus};

/// Key of the probe. One name, so that where deleting is not permitted one small object stays and not one a probe.
const PROBE: &str = ".cofre-probe";

/// Objects on a plain HTTP server.
pub struct Rest {
    client: Rc<Client>,
}

impl Rest {
    pub(crate) fn new(client: Client) -> Self {
        Self { client: Rc::new(client) }
    }

    /// Writes, reads and compares the probe object.
    fn write_probe(&self) -> Result<()> {
        let content = b"cofre was here\n";
        let mut upload = self.begin(PROBE, Some(content.len() as u64))?;
        upload.write(&mut Body::from_reader(&content[..], content.len() as u64))?;
        upload.finish()?;
        let mut found = self.client.get_range(PROBE, None).context("cannot read the probe object back")?;
        if found.body_to_vec(1 << 10)? == content { Ok(()) } else { Err(Error::integrity("the probe object came back with other bytes")) }
    }

    fn remove(&self, key: &str) -> Result<()> {
        match self.client.send(self.client.request(Method::Delete, &self.client.address.of(key))) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }
}

impl Destination for Rest {
    type Settings = Settings;
    type Upload = RestUpload;

    const NAME: &'static str = "rest";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Keeps objects on a plain HTTP server that takes PUT, GET and DELETE.";

    fn network() -> Vec<NetworkNeed> {
        vec![NetworkNeed::new("{url}", "the server")]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::required("token", "bearer token of the server")]
    }

    fn open(settings: Settings) -> Result<Self> {
        let token = cofre_sdk::secret("token")?;
        Ok(Self::new(Client::new(settings, token.expose(), Box::new(Network))?))
    }

    fn probe(&self) -> Result<Limits> {
        let settings = &self.client.settings;
        let cannot = || format!("the server at {} cannot be used", settings.url);
        self.write_probe().with_context(cannot)?;
        wants_tus(&self.client).with_context(cannot)?;
        let free_bytes = self.client.page(PROBE, None).with_context(cannot)?.free_bytes;
        match self.remove(PROBE) {
            // A token that may not delete is a good one for backups.
            Err(error) if error.kind() == ErrorKind::AccessDenied => cofre_sdk::log!(Info, "the probe object {PROBE} stays: {error}"),
            removed => removed.with_context(cannot)?,
        }
        let parallel_uploads = settings.parallel_uploads;
        Ok(Limits { part_size: Some(settings.part_size), max_object_size: None, parallel_uploads, free_bytes })
    }

    fn begin(&self, key: &str, size: Option<u64>) -> Result<RestUpload> {
        RestUpload::begin(Rc::clone(&self.client), key, size)
    }

    fn resume(&self, key: &str, token: &str) -> Result<RestUpload> {
        RestUpload::resume(Rc::clone(&self.client), key, token)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        check_key(key)?;
        let size = || Ok(self.client.object(key)?.size);
        read_range(range, sink, |range| self.client.get_range(key, range), size).with_context(|| format!("cannot read {key}"))
    }

    fn stat(&self, key: &str) -> Result<Object> {
        check_key(key)?;
        self.client.object(key).with_context(|| format!("cannot look at {key}"))
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let page = self.client.page(prefix, cursor).with_context(|| format!("cannot list {prefix}*"))?;
        let objects = page.objects.into_iter().filter(|listed| listed.key != PROBE).map(Listed::object).collect();
        Ok(Page { objects, cursor: page.cursor })
    }

    fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        self.remove(key).with_context(|| format!("cannot remove {key}"))
    }
}
