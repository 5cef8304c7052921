//! etcd's answers as errors of the store.

use crate::{Error, LeaseId, MAX_TRANSACTION_BYTES, Revision};

/// What a call was about, which etcd's errors don't repeat.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About {
    /// The revision asked for.
    pub(super) requested: Revision,
    /// The latest revision known.
    pub(super) current: Revision,
    /// The lease asked for.
    pub(super) lease: Option<LeaseId>,
}

/// gRPC status codes, by number: the client does not re-export their type.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// Maps an error of the client. Whatever may pass by itself is `Unavailable`.
pub(super) fn fault(error: etcd_client::Error, about: About) -> Error {
    match error {
        etcd_client::Error::GRpcStatus(status) => answer(status.code() as i32, status.message(), about),
        etcd_client::Error::LeaseKeepAliveError(reason) => match about.lease {
            Some(lease) if reason == "lease not found" => Error::LeaseNotFound { lease },
            _ => Error::unavailable(reason),
        },
        etcd_client::Error::InvalidArgs(reason) => Error::Invalid { reason },
        etcd_client::Error::InvalidUri(error) => Error::invalid(format!("an endpoint is not a URL: {error}")),
        etcd_client::Error::Utf8Error(error) => Error::corrupt(error),
        other => Error::unavailable(other),
    }
}

/// Whether a call has surely not reached etcd: nobody listened, or there was no connection yet to send it on.
pub(super) fn is_unsent(error: &etcd_client::Error) -> bool {
    let etcd_client::Error::GRpcStatus(status) = error else { return false };
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Maps a status. The texts are etcd's (`etcdserver/api/v3rpc/rpctypes`), the
/// same from 3.0 on; several errors share a code, so the text decides.
fn answer(code: i32, message: &str, about: About) -> Error {
    let says = |text: &str| message.contains(text);
    if says("required revision has been compacted") {
        return Error::Compacted { revision: about.requested.next() };
    }
    if says("required revision is a future revision") {
        return Error::FutureRevision { requested: about.requested, current: about.current };
    }
    if says("requested lease not found")
        && let Some(lease) = about.lease
    {
        return Error::LeaseNotFound { lease };
    }
    if says("request is too large") || says("too many operations") {
        let limit = MAX_TRANSACTION_BYTES;
        return Error::TooLarge { what: "the request, for the limits this etcd is set to,", actual: limit, limit };
    }
    if says("database space exceeded") {
        // Refused before anything is written, by each member alike.
        let reason = "etcd's space quota is used up: compact and defragment it, then disarm its alarm (etcdctl compact, defrag, alarm disarm)";
        return Error::Full { reason: reason.into() };
    }
    if says("message length too large") {
        return Error::WatchLost { reason: format!("etcd sent a message beyond the limit ({message})") };
    }
    let reason = message.to_owned();
    match code {
        code::PERMISSION_DENIED | code::UNAUTHENTICATED => Error::Unauthorized { reason },
        code::INVALID_ARGUMENT if says("authentication failed") || says("user name") => Error::Unauthorized { reason },
        code::INVALID_ARGUMENT => Error::Invalid { reason },
        _ => Error::Unavailable { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_etcd() {
        let about = About { requested: Revision(5), current: Revision(9), lease: Some(LeaseId(7)) };
        let cases = [
            (11, "etcdserver: mvcc: required revision has been compacted", Error::Compacted { revision: Revision(6) }),
            (
                11,
                "etcdserver: mvcc: required revision is a future revision",
                Error::FutureRevision { requested: Revision(5), current: Revision(9) },
            ),
            (5, "etcdserver: requested lease not found", Error::LeaseNotFound { lease: LeaseId(7) }),
            (16, "etcdserver: invalid auth token", Error::Unauthorized { reason: "etcdserver: invalid auth token".into() }),
            (14, "etcdserver: no leader", Error::Unavailable { reason: "etcdserver: no leader".into() }),
            (
                8,
                "etcdserver: mvcc: database space exceeded",
                Error::Full {
                    reason: "etcd's space quota is used up: compact and defragment it, then disarm its alarm (etcdctl compact, defrag, \
                             alarm disarm)"
                        .into(),
                },
            ),
            (3, "etcdserver: key is not provided", Error::Invalid { reason: "etcdserver: key is not provided".into() }),
        ];
        for (code, message, error) in cases {
            assert_eq!(answer(code, message, about), error);
        }
    }
}
