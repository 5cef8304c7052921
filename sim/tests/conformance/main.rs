//! The store's own suite, on the simulation's model of it: what it lets pass, a store may do.

mod backend;
#[path = "../../../store/tests/conformance/cases.rs"]
mod cases;
#[path = "../../../store/tests/conformance/leases.rs"]
mod leases;
#[path = "../../../store/tests/conformance/limits.rs"]
mod limits;
#[path = "../../../store/tests/conformance/model.rs"]
mod model;
#[path = "../../../store/tests/conformance/suite.rs"]
#[macro_use]
mod suite;
#[path = "../../../store/tests/conformance/watches.rs"]
mod watches;

macro_rules! conformance {
    ($($module:ident :: $case:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            crate::$module::$case(crate::backend::model()).await;
        })*
    };
}

every_case!(conformance);
