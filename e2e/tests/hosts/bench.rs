//! The bench itself: a test of faults is worth what its faults are.

use orrery_e2e::{Cut, EtcdCluster, EtcdOptions, Network, Proxy, eventually};
use std::time::Duration;

async fn health(http: &reqwest::Client, url: &str) -> Result<String, String> {
    let request = http.get(format!("{url}/health")).timeout(Duration::from_secs(1));
    request.send().await.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_cut_and_heal() {
    let test = "cuts_cut_and_heal";
    let Some(network) = Network::create(test) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut etcd) = EtcdCluster::start(&network, 11, directory.path(), test, EtcdOptions::default()).await else { return };
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let urls: Vec<String> = etcd.hosts.iter().map(|host| format!("http://{}:2379", host.address)).collect();
    // A member that hears nobody loses its quorum; the others keep theirs.
    for way in [Cut::Both, Cut::Inbound] {
        etcd.hosts[0].cut(&etcd.hosts[1], way);
        etcd.hosts[0].cut(&etcd.hosts[2], way);
        eventually("the member that is cut off is unhealthy", async || match health(&http, &urls[0]).await {
            Ok(text) if text.contains("\"true\"") => Err(text),
            _ => Ok(()),
        })
        .await;
        eventually("the others go on", async || {
            let text = health(&http, &urls[1]).await?;
            if text.contains("\"true\"") { Ok(()) } else { Err(text) }
        })
        .await;
        etcd.hosts[0].heal();
        eventually("it is healthy again", async || {
            let text = health(&http, &urls[0]).await?;
            if text.contains("\"true\"") { Ok(()) } else { Err(text) }
        })
        .await;
    }
    let proxy = Proxy::start(&network.own_address(), format!("{}:2379", etcd.hosts[2].address)).await;
    let through = format!("http://{}", proxy.address);
    assert!(health(&http, &through).await.is_ok());
    proxy.stall(true);
    assert!(health(&http, &through).await.is_err(), "nothing passes a stalled proxy");
    proxy.stall(false);
    assert!(health(&http, &through).await.is_ok() && proxy.bytes() > 0);
    etcd.hosts[2].unplug();
    assert!(health(&http, &urls[2]).await.is_err(), "an unplugged host does not answer");
    etcd.hosts[2].plug();
    etcd.kill(2);
    etcd.restart(2);
    eventually("it is back", async || health(&http, &urls[2]).await).await;
}
