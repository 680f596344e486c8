//! A small S3 in memory for this crate's own tests, with failures on demand. It checks no signature; real servers do that elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use aws_credential_types::Credentials;
use cofre_sdk::Result;
use cofre_sdk::http::Method;

use crate::address::{decode, encode};
use crate::client::{Client, md5};
use crate::store::S3;
use crate::transport::{Answer, Call, Transport};

/// Objects on one page of a listing, and parts on one page of an upload.
const PAGE: usize = 2;

/// Text of the request, and status, headers and body of the answer.
type Fault = (&'static str, u16, Vec<(&'static str, &'static str)>, &'static str);

#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) uploads: BTreeMap<String, BTreeMap<u64, Vec<u8>>>,
    /// Key of each upload that was ever opened.
    opened: BTreeMap<String, String>,
    /// Locks of objects, and of uploads by their identifier until they are complete.
    pub(crate) locks: BTreeMap<String, Lock>,
    pub(crate) requests: Vec<String>,
    /// Answers sent instead, once each, to the first request whose line contains the text.
    pub(crate) faults: Vec<Fault>,
    /// Whether the fault's request is carried out all the same, as when only the answer was lost.
    pub(crate) faults_after: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Lock {
    pub(crate) mode: String,
    pub(crate) until: String,
    pub(crate) hold: bool,
}

pub(crate) struct Fake(pub(crate) Rc<RefCell<Bucket>>);

/// A destination on a fake bucket, with parts of 5 MiB.
pub(crate) fn store(extra: &str) -> (S3, Rc<RefCell<Bucket>>) {
    let json = format!(r#"{{"bucket": "bkt", "endpoint": "https://h", "part_size": 5242880 {extra}}}"#);
    let settings = cofre_sdk::settings::parse(&json).expect("settings");
    let bucket = Rc::new(RefCell::new(Bucket::default()));
    let keys = Credentials::from_keys("AK", "SK", None);
    (S3::new(Client::new(settings, keys, Box::new(Fake(Rc::clone(&bucket)))).expect("a client")), bucket)
}

fn answer(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> Answer {
    let mut headers: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    if !headers.iter().any(|(name, _)| name == "content-length") {
        headers.push(("content-length".to_owned(), body.len().to_string()));
    }
    Answer { status, headers, body: Box::new(std::io::Cursor::new(body)) }
}

fn failure(status: u16, code: &str) -> Answer {
    answer(status, &[], format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>").into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&md5(bytes)))
}

impl Transport for Fake {
    fn send(&self, call: Call<'_>) -> Result<Answer> {
        let bucket = &mut *self.0.borrow_mut();
        let line = format!("{} {}", call.method.as_str(), call.url.strip_prefix("https://h/bkt/").expect("the bucket"));
        bucket.requests.push(line.clone());
        let fault = bucket.faults.iter().position(|(text, ..)| line.contains(text)).map(|at| bucket.faults.remove(at));
        match fault {
            Some((_, status, headers, body)) => {
                if bucket.faults_after {
                    bucket.answer(&call);
                }
                let headers: Vec<_> = headers.into_iter().map(|(n, v)| (n, v.to_owned())).collect();
                Ok(answer(status, &headers, body.as_bytes().to_vec()))
            }
            None => Ok(bucket.answer(&call)),
        }
    }
}

impl Bucket {
    fn answer(&mut self, call: &Call<'_>) -> Answer {
        let rest = call.url.strip_prefix("https://h/bkt/").expect("the bucket");
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let key = decode(&path.replace('+', "%2B")).expect("UTF-8");
        let query: BTreeMap<String, String> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), decode(value).expect("UTF-8")))
            .collect();
        let id = query.get("uploadId");
        match (call.method, id) {
            (Method::Get, None) if query.contains_key("uploads") => self.open_uploads(&query),
            (Method::Get, None) if key.is_empty() => self.list(&query),
            (Method::Get, None) if query.contains_key("retention") => self.retention(&key),
            (Method::Put, None) if query.contains_key("retention") => self.retain(&key, call),
            (Method::Post, None) => self.initiate(key, call),
            (Method::Put, Some(id)) => self.put_part(id, query["partNumber"].parse().expect("a number"), call.body),
            (Method::Get, Some(id)) => self.parts(id, query["part-number-marker"].parse().expect("a number")),
            (Method::Post, Some(id)) => self.complete(id, key),
            (Method::Delete, Some(id)) => {
                self.uploads.remove(id).map_or_else(|| failure(404, "NoSuchUpload"), |_| answer(204, &[], vec![]))
            }
            (Method::Put, None) => {
                self.lock(&key, call);
                self.objects.insert(key, call.body.to_vec());
                answer(200, &[("etag", tag(call.body))], vec![])
            }
            (Method::Delete, None) => {
                self.objects.remove(&key);
                answer(204, &[], vec![])
            }
            _ => self.get(&key, call),
        }
    }

    fn get(&self, key: &str, call: &Call<'_>) -> Answer {
        let Some(bytes) = self.objects.get(key) else { return failure(404, "NoSuchKey") };
        let modified = ("last-modified", "Fri, 24 May 2013 00:00:00 GMT".to_owned());
        if call.method == Method::Head {
            return answer(200, &[("etag", tag(bytes)), ("content-length", bytes.len().to_string()), modified], vec![]);
        }
        let Some((_, range)) = call.headers.iter().find(|(name, _)| name == "range") else {
            return answer(200, &[("etag", tag(bytes))], bytes.clone());
        };
        let (first, last) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')).expect("a range");
        let first: usize = first.parse().expect("a number");
        let end = last.parse::<usize>().map_or(bytes.len(), |last| bytes.len().min(last + 1));
        if first >= bytes.len() {
            return failure(416, "InvalidRange");
        }
        answer(206, &[("content-range", format!("bytes {first}-{}/{}", end - 1, bytes.len()))], bytes[first..end].to_vec())
    }

    fn open_uploads(&self, query: &BTreeMap<String, String>) -> Answer {
        let open = self.opened.iter().filter(|(id, key)| self.uploads.contains_key(*id) && key.starts_with(&query["prefix"]));
        let entry = |(id, key): (&String, &String)| format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", encode(key, true));
        let uploads: String = open.map(entry).collect();
        let xml = format!("<ListMultipartUploadsResult><EncodingType>url</EncodingType>{uploads}</ListMultipartUploadsResult>");
        answer(200, &[], xml.into_bytes())
    }

    fn lock(&mut self, key: &str, call: &Call<'_>) {
        let header = |name: &str| call.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default();
        let hold = header("x-amz-object-lock-legal-hold") == "ON";
        let lock = Lock { mode: header("x-amz-object-lock-mode"), until: header("x-amz-object-lock-retain-until-date"), hold };
        if lock.hold || !lock.mode.is_empty() {
            assert!(call.method == Method::Post || !header("content-md5").is_empty(), "the service refuses a lock without a digest");
            self.locks.insert(key.to_owned(), lock);
        }
    }

    fn retention(&self, key: &str) -> Answer {
        let Some(lock) = self.locks.get(key) else {
            return failure(404, if self.objects.contains_key(key) { "NoSuchObjectLockConfiguration" } else { "NoSuchKey" });
        };
        answer(200, &[], crate::xml::retention(&lock.mode, &lock.until).into_bytes())
    }

    fn retain(&mut self, key: &str, call: &Call<'_>) -> Answer {
        let document: crate::xml::Retention = crate::xml::read(call.body, "retention").expect("well-formed");
        assert!(call.headers.iter().any(|(name, _)| name == "content-md5"), "the service refuses it without a digest");
        let lock = self.locks.entry(key.to_owned()).or_default();
        (lock.mode, lock.until) = (document.mode, document.retain_until_date);
        answer(200, &[], vec![])
    }

    fn initiate(&mut self, key: String, call: &Call<'_>) -> Answer {
        let id = format!("id/{}+", self.uploads.len());
        self.opened.insert(id.clone(), key);
        self.lock(&id, call);
        self.uploads.insert(id.clone(), BTreeMap::new());
        answer(200, &[], format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>").into_bytes())
    }

    fn put_part(&mut self, id: &str, number: u64, body: &[u8]) -> Answer {
        let Some(upload) = self.uploads.get_mut(id) else { return failure(404, "NoSuchUpload") };
        upload.insert(number, body.to_vec());
        answer(200, &[("etag", tag(body))], vec![])
    }

    fn parts(&self, id: &str, after: u64) -> Answer {
        let Some(upload) = self.uploads.get(id) else { return failure(404, "NoSuchUpload") };
        let rest: Vec<_> = upload.range(after + 1..).collect();
        let mut xml = format!("<ListPartsResult><IsTruncated>{}</IsTruncated>", rest.len() > PAGE);
        for (number, bytes) in rest.iter().take(PAGE) {
            let (size, etag) = (bytes.len(), tag(bytes));
            let _ = write!(xml, "<Part><PartNumber>{number}</PartNumber><Size>{size}</Size><ETag>{etag}</ETag></Part>");
        }
        let last = rest.iter().take(PAGE).next_back().map_or(0, |(number, _)| **number);
        let _ = write!(xml, "<NextPartNumberMarker>{last}</NextPartNumberMarker></ListPartsResult>");
        answer(200, &[], xml.into_bytes())
    }

    fn complete(&mut self, id: &str, key: String) -> Answer {
        let Some(upload) = self.uploads.remove(id) else { return failure(404, "NoSuchUpload") };
        if let Some(lock) = self.locks.remove(id) {
            self.locks.insert(key.clone(), lock);
        }
        let digests: Vec<u8> = upload.values().flat_map(|part| md5(part)).collect();
        let etag = format!("\"{}-{}\"", hex(&md5(&digests)), upload.len());
        self.objects.insert(key, upload.into_values().flatten().collect());
        let xml = format!("<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>", etag.replace('"', "&quot;"));
        answer(200, &[], xml.into_bytes())
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Answer {
        let after = query.get("continuation-token").cloned().unwrap_or_default();
        let found: Vec<_> = self.objects.iter().filter(|(key, _)| key.starts_with(&query["prefix"]) && **key > after).collect();
        let mut xml = format!("<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>", found.len() > PAGE);
        for (key, bytes) in found.iter().take(PAGE) {
            let key = encode(key, true).replace("%20", "+");
            let _ = write!(
                xml,
                "<Contents><Key>{key}</Key><LastModified>2013-05-24T00:00:00.000Z</LastModified><Size>{}</Size></Contents>",
                bytes.len()
            );
        }
        if let Some((key, _)) = found.get(PAGE - 1).filter(|_| found.len() > PAGE) {
            let _ = write!(xml, "<NextContinuationToken>{key}</NextContinuationToken>");
        }
        answer(200, &[], (xml + "</ListBucketResult>").into_bytes())
    }
}
