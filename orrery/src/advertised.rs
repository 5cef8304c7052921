//! The URL under which others reach a controller.

use orrery_link::address::{AddressError, ControllerAddress};
use std::net::IpAddr;

/// A URL that others can dial: one that is not would let this controller lead where nobody reaches it.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let address: ControllerAddress = text.parse().map_err(|error: AddressError| error.to_string())?;
    if address.host().parse().is_ok_and(|host: IpAddr| host.is_unspecified() || host.is_multicast()) {
        return Err(format!("nobody reaches {}; write an address or a name of this machine", address.host()));
    }
    let url = text.trim().trim_end_matches('/');
    Ok(if url.contains("://") { url.to_owned() } else { address.to_string() })
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_others_can_dial_is_advertised() {
        for (text, url) in [
            ("https://c1.example:8443/", "https://c1.example:8443"),
            ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("c1.example", "https://c1.example:8080"),
        ] {
            assert_eq!(super::url(text).as_deref(), Ok(url));
        }
        for (text, part) in [
            ("ftp://x", "write https://HOST:PORT"),
            ("https://a/b", "write https://HOST:PORT"),
            ("http://10.0.0.1:80", "not encrypted"),
            ("https://0.0.0.0:8080", "nobody reaches 0.0.0.0"),
            ("https://[::]:8080", "nobody reaches ::"),
        ] {
            let error = super::url(text).unwrap_err();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}
