//! What `orrery up` refuses before it touches anything.

use crate::arguments::UpOptions;

/// Names are answered for this machine only; the door itself asks for a login elsewhere.
pub(crate) fn check(options: &UpOptions) -> anyhow::Result<()> {
    names(options.dns_listen)
}

/// Names are answered for this machine only.
pub(crate) fn names(address: std::net::SocketAddr) -> anyhow::Result<()> {
    anyhow::ensure!(
        address.ip().is_loopback(),
        "--dns-listen {address}: names are answered on loopback addresses only, because an open resolver is used for attacks; \
         use 127.0.0.1 or [::1]"
    );
    Ok(())
}
