//! A destination whose table holds a million elements from the start (see `build.rs`); everything else about it is honest.

use cofre_sdk::{Body, Destination, Error, Limits, NetworkNeed, Object, Page, Range, Result, Sink, Upload};

/// No settings.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// The destination.
pub struct TableBomb;

/// Its uploads, of which there are none.
pub struct Never;

impl Destination for TableBomb {
    type Settings = Settings;
    type Upload = Never;
    const NAME: &'static str = "table-bomb";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Made for a test.";

    fn network() -> Vec<NetworkNeed> {
        Vec::new()
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

cofre_sdk::export_destination!(TableBomb);
