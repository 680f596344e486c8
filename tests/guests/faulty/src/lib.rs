//! A whole destination in one directory, honest or with one bug that the settings name, for the conformance suite to find. What it takes
//! it also sends to a listener, where one is given: what leaves the sandbox can be counted there alone.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use cofre_sdk::{Body, Context as _, Destination, Error, Limits, NetworkNeed, Object, Page, Range, Result, SecretNeed, Sink, Upload};

const OBJECTS: &str = "/data/objects";
const PARTIAL: &str = "/data/partial";
/// Objects of one page.
const PAGE: usize = 40;
const CHUNK: usize = 64 << 10;
/// The only password.
const PASSWORD: &str = "sesame";

/// Settings of one instance.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What is wrong with it; nothing where it is left out.
    #[serde(default)]
    bug: Option<Bug>,
    /// Listener that gets a copy of every byte.
    #[serde(default)]
    mirror: Option<String>,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Bug {
    /// Objects are to be seen before they are finished.
    AppearsEarly,
    /// A byte is lost wherever an upload is resumed.
    LosesAByte,
    /// Open uploads are listed.
    ListsTemporaries,
    /// Nothing leaves before the end.
    BuffersAll,
    /// What went through it stays in its memory.
    Leaks,
    /// What is missing is `other`.
    WrongKinds,
}

struct Faulty(Settings);

struct Partial {
    settings: Settings,
    key: String,
    name: String,
    /// What was not written yet, by the one that buffers.
    held: Vec<u8>,
    mirror: Option<TcpStream>,
    ended: bool,
}

cofre_sdk::export_destination!(Faulty);

/// FNV-1a, so that any key is a short name.
fn name_of(key: &str) -> String {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

fn object_file(key: &str, end: &str) -> PathBuf {
    PathBuf::from(format!("{OBJECTS}/{}.{end}", name_of(key)))
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

impl Settings {
    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn missing(&self, key: &str) -> Error {
        let what = format!("there is no {key}");
        if self.has(Bug::WrongKinds) { Error::other(what) } else { Error::not_found(what) }
    }
}

impl Destination for Faulty {
    type Settings = Settings;
    type Upload = Partial;
    const NAME: &'static str = "faulty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "A whole destination, honest or with one bug, for the conformance suite to find.";
    const DIRECTORY: bool = true;

    fn network() -> Vec<NetworkNeed> {
        vec![NetworkNeed::new("{mirror}", "gets a copy of every byte")]
    }

    fn secrets() -> Vec<SecretNeed> {
        vec![SecretNeed::optional("password", "anything but the right one is refused")]
    }

    fn open(settings: Settings) -> Result<Self> {
        match cofre_sdk::optional_secret("password") {
            Some(password) if password.expose() != PASSWORD && settings.has(Bug::WrongKinds) => Err(Error::other("no")),
            Some(password) if password.expose() != PASSWORD => Err(Error::access_denied("the password is wrong")),
            _ => Ok(Self(settings)),
        }
    }

    fn probe(&self) -> Result<Limits> {
        fs::create_dir_all(OBJECTS).and_then(|()| fs::create_dir_all(PARTIAL)).context("cannot make the folders")?;
        Ok(Limits { part_size: None, max_object_size: None, parallel_uploads: 2, free_bytes: None })
    }

    fn begin(&self, key: &str, _: Option<u64>) -> Result<Partial> {
        let name = format!("{}-{:016x}", name_of(key), RandomState::new().hash_one(key));
        File::create(format!("{PARTIAL}/{name}")).context("cannot begin")?;
        fs::write(format!("{PARTIAL}/{name}.key"), key).context("cannot begin")?;
        Partial::open(&self.0, key, &name)
    }

    fn resume(&self, key: &str, token: &str) -> Result<Partial> {
        let lost = || Error::session_lost(format!("nothing is left of the upload of {key}"));
        if !token.starts_with(&name_of(key)) {
            return Err(lost());
        }
        let partial = Partial::open(&self.0, key, token)?;
        let file = OpenOptions::new().write(true).open(partial.path()).map_err(|_| lost())?;
        let size = file.metadata().context("cannot look at the partial file")?.len();
        if self.0.has(Bug::LosesAByte) && size > 1 {
            file.set_len(size - 1)
                .and_then(|()| OpenOptions::new().append(true).open(partial.path())?.write_all(b"?"))
                .context("cannot")?;
        }
        Ok(partial)
    }

    fn read(&self, key: &str, range: Range, sink: &mut Sink) -> Result<()> {
        let mut file = match File::open(object_file(key, "data")) {
            Err(error) if is_missing(&error) => return Err(self.0.missing(key)),
            opened => opened.context("cannot open the object")?,
        };
        let length = range.length_in(file.metadata().context("cannot look at the object")?.len())?;
        file.seek(SeekFrom::Start(range.offset)).context("cannot read")?;
        io::copy(&mut file.take(length), sink).map(drop).context("cannot read")
    }

    fn stat(&self, key: &str) -> Result<Object> {
        match fs::metadata(object_file(key, "data")) {
            Err(error) if is_missing(&error) => Err(self.0.missing(key)),
            found => Ok(object(key, found.context("cannot look at the object")?.len())),
        }
    }

    fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page> {
        let mut folders = vec![OBJECTS];
        folders.extend(self.0.has(Bug::ListsTemporaries).then_some(PARTIAL));
        let mut objects = Vec::new();
        for entry in folders.into_iter().flat_map(fs::read_dir).flatten() {
            let path = entry.context("cannot list")?.path();
            let Ok(key) = fs::read_to_string(path.with_extension("key")) else { continue };
            let is_data = path.extension().is_none_or(|extension| extension == "data");
            if is_data && key.starts_with(prefix) && cursor.is_none_or(|cursor| key.as_str() > cursor) {
                objects.push(object(&key, fs::metadata(&path).context("cannot list")?.len()));
            }
        }
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        let more = objects.len() > PAGE;
        objects.truncate(PAGE);
        Ok(Page { cursor: objects.last().filter(|_| more).map(|last| last.key.clone()), objects })
    }

    fn delete(&self, key: &str) -> Result<()> {
        for end in ["data", "key"] {
            match fs::remove_file(object_file(key, end)) {
                Err(error) if !is_missing(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn object(key: &str, size: u64) -> Object {
    Object { key: key.to_owned(), size, modified_unix_ms: None, checksum: None }
}

impl Partial {
    fn open(settings: &Settings, key: &str, name: &str) -> Result<Self> {
        let mirror = settings.mirror.as_ref().map(TcpStream::connect).transpose().context("cannot reach the mirror")?;
        Ok(Self { settings: settings.clone(), key: key.to_owned(), name: name.to_owned(), held: Vec::new(), mirror, ended: false })
    }

    fn path(&self) -> String {
        format!("{PARTIAL}/{}", self.name)
    }

    fn stored(&self) -> u64 {
        fs::metadata(self.path()).map_or(0, |metadata| metadata.len())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).open(self.path())?.write_all(bytes)?;
        self.mirror.iter_mut().try_for_each(|mirror| mirror.write_all(bytes))
    }
}

impl Upload for Partial {
    fn token(&self) -> String {
        self.name.clone()
    }

    fn offset(&self) -> u64 {
        self.stored() + self.held.len() as u64
    }

    fn write(&mut self, body: &mut Body) -> Result<u64> {
        if self.settings.has(Bug::BuffersAll) {
            body.read_to_end(&mut self.held)?;
            return Ok(self.offset());
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = body.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            self.append(&chunk[..count]).context("cannot write")?;
            if self.settings.has(Bug::Leaks) {
                // A byte of each byte: more than the suite allows by the end of its object, and less than the host's limit.
                std::hint::black_box(chunk[..count].to_vec().leak());
            }
        }
        if self.settings.has(Bug::AppearsEarly) {
            fs::write(object_file(&self.key, "key"), &self.key).context("cannot write")?;
            fs::copy(self.path(), object_file(&self.key, "data")).context("cannot write")?;
        }
        Ok(self.offset())
    }

    fn finish(&mut self) -> Result<Object> {
        if self.ended || fs::metadata(self.path()).is_err() {
            return Err(Error::session_lost("the upload has ended"));
        }
        let held = std::mem::take(&mut self.held);
        self.append(&held).context("cannot write")?;
        let size = self.stored();
        fs::write(object_file(&self.key, "key"), &self.key).context("cannot finish")?;
        fs::rename(self.path(), object_file(&self.key, "data")).context("cannot finish")?;
        let _ = fs::remove_file(format!("{}.key", self.path()));
        self.ended = true;
        Ok(object(&self.key, size))
    }

    fn abort(&mut self) -> Result<()> {
        self.ended = true;
        let _ = fs::remove_file(format!("{}.key", self.path()));
        match fs::remove_file(self.path()) {
            Err(error) if !is_missing(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}
