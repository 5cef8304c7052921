//! Byte streams to other controllers, both ends proven by certificates.

use orrery_link::address::ControllerAddress;
use orrery_link::authority::certificate_der;
use orrery_link::client::{DialError, Dialer};
use orrery_link::tls::{Certified, Trust, client_config};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Connects to controllers with the certificate that a keeper keeps.
#[derive(Debug, Clone)]
pub struct SecureDial(watch::Receiver<Option<Arc<Certified>>>);

impl SecureDial {
    /// Dials with `own`, waiting for it while there is none.
    pub const fn new(own: watch::Receiver<Option<Arc<Certified>>>) -> Self {
        Self(own)
    }

    /// Connects to the door at `url`, ready for HTTP/2.
    ///
    /// # Errors
    /// It cannot be reached (when nothing listens there: `ConnectionRefused`), or is no controller of this cluster.
    pub async fn connect(&self, url: &str) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        let mut source = self.0.clone();
        let own = source.wait_for(Option::is_some).await.ok().and_then(|own| own.clone());
        let own = own.ok_or_else(|| io::Error::other("this controller has no certificate"))?;
        let address: ControllerAddress = url.parse().map_err(io::Error::other)?;
        let authority = certificate_der(&own.authority).map_err(io::Error::other)?;
        let tls = client_config(Trust::Authority(authority), Some(&own)).map_err(io::Error::other)?;
        let connected: Result<_, DialError> = Dialer { tls, by: "controller" }.stream(&address).await;
        connected.map_err(|error| {
            let kind =
                if matches!(error, DialError::Closed { .. }) { io::ErrorKind::ConnectionRefused } else { io::ErrorKind::Other };
            io::Error::new(kind, error)
        })
    }
}
