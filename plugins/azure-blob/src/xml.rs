//! The service's XML, as far as it is used. Unknown elements are passed over.

use std::borrow::Cow;

use cofre_sdk::{Error, Result};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `EnumerationResults` of List Blobs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listing {
    #[serde(default)]
    pub(crate) blobs: Blobs,
    #[serde(default)]
    pub(crate) next_marker: String,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Blobs {
    #[serde(rename = "Blob", default)]
    pub(crate) all: Vec<Blob>,
}

/// One blob of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Blob {
    pub(crate) name: Name,
    #[serde(default)]
    pub(crate) properties: Properties,
}

/// A name, encoded where it has characters that XML has not.
#[derive(Debug, Deserialize)]
pub(crate) struct Name {
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

impl Name {
    /// `None` where it is no UTF-8.
    pub(crate) fn plain(&self) -> Option<Cow<'_, str>> {
        if self.encoded { percent_decode_str(&self.text).decode_utf8().ok() } else { Some(Cow::Borrowed(&self.text)) }
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Properties {
    #[serde(rename = "Content-Length", default)]
    pub(crate) size: u64,
    #[serde(rename = "Last-Modified")]
    pub(crate) modified: Option<String>,
    #[serde(rename = "Content-MD5")]
    pub(crate) md5: Option<String>,
    /// `directory` in accounts with a hierarchical namespace.
    #[serde(rename = "ResourceType")]
    pub(crate) resource_type: Option<String>,
}

/// `BlockList` of Get Block List.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BlockList {
    #[serde(default)]
    pub(crate) uncommitted_blocks: Blocks,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Blocks {
    #[serde(rename = "Block", default)]
    pub(crate) all: Vec<Block>,
}

/// One block that is stored and not yet part of a blob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) size: u64,
}

/// Reads an answer of the kind that was asked for.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T> {
    let malformed = |why: String| Error::other(format!("the service's {what} cannot be understood: {why}")).retryable(true);
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    quick_xml::de::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| malformed(error.to_string()))
}

/// The body of Put Block List; the names are base64.
pub(crate) fn commit<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::from(r#"<?xml version="1.0" encoding="utf-8"?><BlockList>"#);
    for name in names {
        out.push_str("<Uncommitted>");
        out.push_str(name);
        out.push_str("</Uncommitted>");
    }
    out.push_str("</BlockList>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_its_encoded_names() {
        let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>p</Prefix>\
            <Blobs><Blob><Name>a&amp;b c</Name><Properties><Last-Modified>Fri, 24 May 2013 00:00:00 GMT</Last-Modified><Content-Length>7</Content-Length>\
            <Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5><BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob>\
            <Blob><Name Encoded=\"true\">x%EF%BF%BFy</Name><Properties><Content-Length>0</Content-Length><ResourceType>directory</ResourceType></Properties></Blob></Blobs>\
            <NextMarker>2!72!x</NextMarker></EnumerationResults>";
        let listing: Listing = read(xml.as_bytes(), "listing").expect("well-formed");
        assert_eq!(listing.next_marker, "2!72!x");
        let names: Vec<_> = listing.blobs.all.iter().map(|blob| (blob.name.plain().expect("UTF-8"), blob.properties.size)).collect();
        assert_eq!(names, [("a&b c".into(), 7), ("x\u{ffff}y".into(), 0)]);
        assert_eq!(listing.blobs.all[1].properties.resource_type.as_deref(), Some("directory"));
        let empty: Listing = read(b"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>", "listing").expect("well-formed");
        assert!(empty.blobs.all.is_empty() && empty.next_marker.is_empty());
    }

    #[test]
    fn blocks_that_wait_are_read_and_others_are_not() {
        let xml = b"<BlockList><CommittedBlocks><Block><Name>b2xk</Name><Size>1</Size></Block></CommittedBlocks><UncommittedBlocks><Block><Name>bmV3</Name><Size>4194304</Size></Block></UncommittedBlocks></BlockList>";
        let list: BlockList = read(xml, "block list").expect("well-formed");
        assert_eq!(
            list.uncommitted_blocks.all.iter().map(|block| (block.name.as_str(), block.size)).collect::<Vec<_>>(),
            [("bmV3", 4_194_304)]
        );
    }
}
