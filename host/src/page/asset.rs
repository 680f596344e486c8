//! The files beside the pages: one stylesheet, one script, the icons. Each is embedded, and has the digest of its content in its address,
//! so that a browser may keep it for ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// Hexadecimal digits of the digest in an address.
const DIGITS: usize = 12;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    file: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        embedded("cofre.css", "text/css; charset=utf-8", include_bytes!("../../assets/cofre.css")),
        embedded("cofre.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/cofre.js")),
        embedded("cofre.svg", "image/svg+xml", include_bytes!("../../assets/cofre.svg")),
    ]
});

fn embedded(name: &'static str, media_type: &'static str, bytes: &'static [u8]) -> Asset {
    let digest = hex::encode(Sha256::digest(bytes));
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    Asset { name, media_type, bytes, file: format!("{stem}.{}.{extension}", &digest[..DIGITS]) }
}

/// What lies at `/assets/{path}`: its media type and its bytes. The answer may be kept for ever.
pub fn asset(path: &str) -> Option<(&'static str, &'static [u8])> {
    ASSETS.iter().find(|asset| asset.file == path).map(|asset| (asset.media_type, asset.bytes))
}

/// The address of a file by its name, such as `cofre.css`; of a name that is none, the folder.
pub fn asset_address(name: &str) -> String {
    let file = ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| asset.file.as_str());
    format!("/assets/{file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_at_its_address_and_nowhere_else() {
        for name in ["cofre.css", "cofre.js", "cofre.svg"] {
            let address = asset_address(name);
            let path = address.strip_prefix("/assets/").expect("below /assets/");
            assert!(asset(path).is_some_and(|(_, bytes)| !bytes.is_empty()) && asset(name).is_none(), "{name}");
        }
        assert!(asset("").is_none() && asset("../cofre.css").is_none());
    }

    #[test]
    fn the_script_is_small_and_asks_nobody_else() {
        let text = |path: &str| {
            let address = asset_address(path);
            String::from_utf8(asset(&address["/assets/".len()..]).expect("there").1.to_vec()).expect("text")
        };
        assert!(text("cofre.js").len() < 8_192, "{}", text("cofre.js").len());
        for file in ["cofre.js", "cofre.css"] {
            assert!(!text(file).contains("://") && !text(file).contains("@import") && !text(file).contains("eval("), "{file}");
        }
    }
}
