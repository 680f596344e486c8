//! The service's XML answers, as far as they are used. Namespaces and unknown elements are passed over.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use cofre_sdk::{Error, Result};

/// `Error`: why a request failed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) region: Option<String>,
    pub(crate) request_id: Option<String>,
}

/// `InitiateMultipartUploadResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Initiated {
    pub(crate) upload_id: String,
}

/// `CompleteMultipartUploadResult`
#[derive(Debug, Deserialize)]
pub(crate) struct Completed {
    #[serde(rename = "ETag", default)]
    pub(crate) etag: String,
}

/// `ListPartsResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Parts {
    #[serde(default)]
    pub(crate) is_truncated: bool,
    pub(crate) next_part_number_marker: Option<String>,
    #[serde(rename = "Part", default)]
    pub(crate) held: Vec<Part>,
}

/// One part that the service holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Part {
    #[serde(rename = "PartNumber")]
    pub(crate) number: u64,
    pub(crate) size: u64,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
}

/// `ListMultipartUploadsResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Uploads {
    pub(crate) encoding_type: Option<String>,
    #[serde(rename = "Upload", default)]
    pub(crate) open: Vec<Open>,
}

/// One upload that is neither complete nor aborted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Open {
    pub(crate) key: String,
    pub(crate) upload_id: String,
}

/// `ListBucketResult`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listing {
    #[serde(default)]
    pub(crate) is_truncated: bool,
    pub(crate) next_continuation_token: Option<String>,
    pub(crate) encoding_type: Option<String>,
    #[serde(default)]
    pub(crate) contents: Vec<Listed>,
}

/// One object of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) last_modified: Option<String>,
}

/// `Retention`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Retention {
    pub(crate) mode: String,
    pub(crate) retain_until_date: String,
}

/// Reads an answer of the kind that was asked for.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T> {
    let malformed = |why: String| Error::other(format!("the service's {what} cannot be understood: {why}")).retryable(true);
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    quick_xml::de::from_str(text).map_err(|error| malformed(error.to_string()))
}

/// The failure in an answer, if it is one; also under a success status, as CompleteMultipartUpload may send it.
pub(crate) fn failure(body: &[u8]) -> Option<Failure> {
    let text = std::str::from_utf8(body).ok()?;
    let mut root = text.trim_start_matches('\u{feff}').trim_start();
    if root.starts_with("<?") {
        root = root.split_once("?>")?.1.trim_start();
    }
    if !(root.starts_with("<Error>") || root.starts_with("<Error ")) {
        return None;
    }
    quick_xml::de::from_str(text).ok()
}

/// The body of CompleteMultipartUpload.
pub(crate) fn completion<'a>(etags: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::from(r#"<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">"#);
    for (index, etag) in etags.enumerate() {
        out.push_str("<Part><PartNumber>");
        out.push_str(&(index + 1).to_string());
        out.push_str("</PartNumber><ETag>");
        out.push_str(&quick_xml::escape::escape(etag));
        out.push_str("</ETag></Part>");
    }
    out.push_str("</CompleteMultipartUpload>");
    out
}

/// The body of PutObjectRetention.
pub(crate) fn retention(mode: &str, until: &str) -> String {
    let (mode, until) = (quick_xml::escape::escape(mode), quick_xml::escape::escape(until));
    format!(
        r#"<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_its_entities() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix/><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>
<IsTruncated>true</IsTruncated><NextContinuationToken>1a/b==</NextContinuationToken><EncodingType>url</EncodingType>
<Contents><Key>a+b</Key><LastModified>2024-02-29T12:30:45.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>434234</Size><Owner><ID>1</ID></Owner></Contents>
<Contents><Key>c&amp;d</Key><Size>0</Size></Contents></ListBucketResult>"#;
        let listing: Listing = read(xml.as_bytes(), "listing").expect("well-formed");
        assert_eq!((listing.is_truncated, listing.next_continuation_token.as_deref()), (true, Some("1a/b==")));
        let keys: Vec<_> = listing.contents.iter().map(|c| (c.key.as_str(), c.size)).collect();
        assert_eq!(keys, [("a+b", 434_234), ("c&d", 0)]);
        let empty: Listing =
            read(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", "listing").expect("well-formed");
        assert!(empty.contents.is_empty() && empty.encoding_type.is_none());
    }

    #[test]
    fn a_failure_is_seen_under_any_status_and_nothing_else_is_one() {
        let xml = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message><RequestId>656c76696e6727</RequestId></Error>";
        let failure = failure(xml).expect("a failure");
        assert_eq!((failure.code.as_str(), failure.request_id.as_deref()), ("InternalError", Some("656c76696e6727")));
        for other in [
            &b""[..],
            b"<html>Error</html>",
            b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>",
            b"<Errors/>",
        ] {
            assert!(super::failure(other).is_none());
        }
    }

    #[test]
    fn a_completion_lists_the_parts_in_order() {
        let xml = completion(["\"a\"", "\"b\""].into_iter());
        assert!(xml.contains("<Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part><Part><PartNumber>2</PartNumber>"), "{xml}");
    }
}
