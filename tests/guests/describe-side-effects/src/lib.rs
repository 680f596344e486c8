//! A destination that tries to read its settings, a secret, the file system and the network while it describes itself.

use cofre_sdk::{Body, Destination, Error, Limits, NetworkNeed, Object, Page, Range, Result, Sink, Upload};

/// No settings.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// The destination.
pub struct Outgoing;

/// Its uploads, of which there are none.
pub struct Never;

impl Destination for Outgoing {
    type Settings = Settings;
    type Upload = Never;
    const NAME: &'static str = "describe-side-effects";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Made for a test.";

    fn network() -> Vec<NetworkNeed> {
        // Each of these must fail, be refused or see nothing; what got through shows in the description.
        cofre_sdk::log!(Error, "logged while describing");
        let secret = cofre_sdk::optional_secret("token").map_or("none", |_| "seen");
        let root = std::fs::read_dir("/").map_or(0, Iterator::count);
        let reached = std::net::TcpStream::connect("localhost:1").map_or_else(|e| format!("{:?}", e.kind()), |_| "reached".to_owned());
        let variables = std::env::vars_os().count();
        vec![NetworkNeed::new("localhost:1", format!("secret={secret} root={root} reached={reached} variables={variables}"))]
    }

    fn open(_settings: Settings) -> Result<Self> {
        Ok(Self)
    }

    fn probe(&self) -> Result<Limits> {
        Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 1, free_bytes: None })
    }

    fn begin(&self, _key: &str, _size: Option<u64>) -> Result<Never> {
        Err(Error::unsupported("this guest stores nothing"))
    }

    fn resume(&self, _key: &str, _token: &str) -> Result<Never> {
        Err(Error::session_lost("this guest stores nothing"))
    }

    fn read(&self, key: &str, _range: Range, _sink: &mut Sink) -> Result<()> {
        Err(Error::not_found(key))
    }

    fn stat(&self, key: &str) -> Result<Object> {
        Err(Error::not_found(key))
    }

    fn list(&self, _prefix: &str, _cursor: Option<&str>) -> Result<Page> {
        Ok(Page::default())
    }

    fn delete(&self, _key: &str) -> Result<()> {
        Ok(())
    }
}

impl Upload for Never {
    fn token(&self) -> String {
        String::new()
    }

    fn offset(&self) -> u64 {
        0
    }

    fn write(&mut self, _body: &mut Body) -> Result<u64> {
        Err(Error::unsupported("this guest stores nothing"))
    }

    fn finish(&mut self) -> Result<Object> {
        Err(Error::unsupported("this guest stores nothing"))
    }

    fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

cofre_sdk::export_destination!(Outgoing);
