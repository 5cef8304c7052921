//! One suite for every backend: what a store promises, and nothing of how.

mod backend;
mod cases;
mod leases;
mod limits;
mod model;
#[macro_use]
mod suite;
mod watches;

mod embedded;
mod etcd;

/// Makes a test of every case for every backend.
macro_rules! conformance {
    ($($module:ident :: $case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::$module::$case(crate::backend::memory()).await;
            })*
        }
        mod disk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::$module::$case(crate::backend::disk()).await;
            })*
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                if let Some(backend) = crate::backend::etcd().await {
                    crate::$module::$case(backend).await;
                }
            })*
        }
    };
}

every_case!(conformance);
