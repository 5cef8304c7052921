//! What `orrery up` refuses before it touches anything.

use crate::arguments::UpOptions;

/// Addresses beyond this machine need authentication, which is still to come.
pub(crate) fn check(options: &UpOptions) -> anyhow::Result<()> {
    for (flag, address) in [("--listen", options.listen), ("--dns-listen", options.dns_listen)] {
        anyhow::ensure!(
            address.ip().is_loopback(),
            "{flag} {address}: only loopback addresses are served until authentication exists, because anybody who reaches the \
             address could run anything; use 127.0.0.1 or [::1], and a tunnel such as `ssh -L` from elsewhere"
        );
    }
    Ok(())
}
