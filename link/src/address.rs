//! Where a controller listens.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Port of a controller's door.
pub const DEFAULT_PORT: u16 = 8080;

/// Host and port of a controller. The link speaks TLS there, whatever scheme was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControllerAddress {
    host: String,
    port: u16,
}

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("\"{0}\" is no URL of a controller; write https://HOST:PORT")]
    Text(String),
    /// Plain HTTP beyond this machine.
    #[error("\"{0}\" is not encrypted: write https:// instead of http://")]
    Plain(String),
}

impl ControllerAddress {
    /// Name or address of the host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same host at another port.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// `HOST:PORT`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for ControllerAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError::Text(text.chars().take(200).collect());
        let trimmed = text.trim();
        let (scheme, rest) = trimmed.split_once("://").map_or((None, trimmed), |(scheme, rest)| (Some(scheme), rest));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let default_port = match scheme {
            None => DEFAULT_PORT,
            Some("https") => 443,
            Some("http") => 80,
            Some(_) => return Err(error()),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(error)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| error())?;
                let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(error)?) };
                (host, port)
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(error)?,
            None => default_port,
        };
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(valid) {
            return Err(error());
        }
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if scheme == Some("http") && !local {
            return Err(AddressError::Plain(text.chars().take(200).collect()));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let cases = [
            ("https://c1.example:8080", "https://c1.example:8080"),
            ("https://c1.example/", "https://c1.example:443"),
            ("c1", "https://c1:8080"),
            ("10.0.0.1:9", "https://10.0.0.1:9"),
            ("https://[::1]:9", "https://[::1]:9"),
            ("http://127.0.0.1:8080", "https://127.0.0.1:8080"),
            ("http://localhost:1", "https://localhost:1"),
        ];
        for (text, shown) in cases {
            assert_eq!(text.parse::<ControllerAddress>().unwrap().to_string(), shown, "{text}");
        }
        for text in
            ["", "https://", "ftp://a", "https://a:0", "https://a:x", "https://a/b", "https://u@a", "[::1", "[x]:1", "a b", "::1"]
        {
            assert!(text.parse::<ControllerAddress>().is_err(), "{text}");
        }
        assert!(matches!("http://10.0.0.1:80".parse::<ControllerAddress>(), Err(AddressError::Plain(_))));
    }
}
