//! What `orrery up` refuses before it touches anything.

use crate::arguments::UpOptions;

/// Names are not answered to the whole world; the door itself asks for a login elsewhere.
pub(crate) fn check(options: &UpOptions) -> anyhow::Result<()> {
    names(options.dns_listen)
}

/// Names are answered on loopback and private addresses (RFC 1918, RFC 4193): a resolver that the
/// whole world reaches is used for attacks.
pub(crate) fn names(address: std::net::SocketAddr) -> anyhow::Result<()> {
    let private = match address.ip() {
        std::net::IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    anyhow::ensure!(
        private,
        "--dns-listen {address}: names are answered on loopback and private addresses only, because an open resolver is used for \
         attacks; use 127.0.0.1, [::1] or this machine's address in a private network"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn only_private_addresses_answer_names() {
        for (address, good) in [
            ("127.0.0.1:53", true),
            ("10.1.2.3:53", true),
            ("192.168.0.9:53", true),
            ("[fd00::1]:53", true),
            ("0.0.0.0:53", false),
            ("8.8.8.8:53", false),
            ("[::]:53", false),
            ("[2001:db8::1]:53", false),
        ] {
            assert_eq!(names(address.parse().unwrap()).is_ok(), good, "{address}");
        }
    }
}
