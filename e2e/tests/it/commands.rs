//! Packages that bring a command and nothing else.

use orrery_e2e::TestCluster;

#[test]
fn a_cli_only_package_brings_a_command_and_takes_it_away() {
    let cluster = TestCluster::start(&[]);
    cluster.dcos(&["package", "install", "cluster-report", "--yes"]).success();
    let report = cluster.dcos(&["cluster-report"]).success();
    assert!(report.contains("== Nodes ==") && report.contains("127.0.0.1"), "{report}");
    assert!(cluster.dcos(&["package", "list"]).success().contains("cluster-report"));
    cluster.dcos(&["package", "uninstall", "cluster-report", "--yes"]).success();
    assert_ne!(cluster.dcos(&["cluster-report"]).code, 0);
}
