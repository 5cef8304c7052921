//! Archives, good and bad.

use super::*;

enum Item<'a> {
    File(&'a str, &'a [u8], u32),
    Directory(&'a str),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Device(&'a str),
}

/// Writes entries without the checks that the library makes on writing.
fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        let (name, kind, data, mode, link): (&str, _, &[u8], _, _) = match item {
            Item::File(name, data, mode) => (name, tar::EntryType::Regular, data, *mode, ""),
            Item::Directory(name) => (name, tar::EntryType::Directory, b"", 0o755, ""),
            Item::Link(name, target) => (name, tar::EntryType::Symlink, b"", 0o777, *target),
            Item::Hard(name, target) => (name, tar::EntryType::Link, b"", 0o644, *target),
            Item::Device(name) => (name, tar::EntryType::Char, b"", 0o644, ""),
        };
        let mut header = tar::Header::new_old();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Place {
    _directory: tempfile::TempDir,
    outside: PathBuf,
    root: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let (outside, root) = (directory.path().join("outside"), directory.path().join("root"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&root).unwrap();
    Place { _directory: directory, outside, root }
}

fn unpack(place: &Place, bytes: &[u8], kind: Kind, bounds: &Bounds) -> Result<(), String> {
    let archive = place.outside.join("archive");
    fs::write(&archive, bytes).unwrap();
    let result = extract(&archive, kind, &place.root, "single", bounds);
    fs::remove_file(archive).unwrap();
    result
}

fn compress(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    match kind {
        Kind::TarGz | Kind::Gz => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Kind::TarBz2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Kind::TarXz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Kind::Tar | Kind::Zip => bytes.to_vec(),
    }
}

fn zip(items: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, data, link) in items {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
        if *link {
            writer.add_symlink(*name, std::str::from_utf8(data).unwrap(), options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(data).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn kinds_by_name() {
    for (name, expected) in [
        ("a.tar.gz", Some(Kind::TarGz)),
        ("A.TGZ", Some(Kind::TarGz)),
        ("a.tbz2", Some(Kind::TarBz2)),
        ("a.txz", Some(Kind::TarXz)),
        ("a.tar", Some(Kind::Tar)),
        ("a.gz", Some(Kind::Gz)),
        ("a.zip", Some(Kind::Zip)),
        ("a.jar", None),
        ("a", None),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
}

#[test]
fn good_archives_unpack() {
    let items = [
        Item::Directory("app/"),
        Item::File("./app/bin/run", b"#!/bin/sh\n", 0o4755),
        Item::Link("app/current", "bin"),
        Item::Link("app/bin/up", "../bin/run"),
        Item::Hard("app/copy", "app/bin/run"),
        Item::File("app/secret", b"x", 0o000),
    ];
    for kind in [Kind::Tar, Kind::TarGz, Kind::TarBz2, Kind::TarXz] {
        let place = place();
        unpack(&place, &compress(kind, &tar(&items)), kind, &Bounds::default()).unwrap();
        let run = place.root.join("app/bin/run");
        assert_eq!(fs::read(place.root.join("app/current/run")).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::read(place.root.join("app/bin/up")).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::read(place.root.join("app/copy")).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::metadata(run).unwrap().permissions().mode() & 0o7777, 0o755, "set-id bits are dropped");
        assert_eq!(fs::metadata(place.root.join("app/secret")).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let place = place();
    unpack(&place, &zip(&[("a/b", b"hello", false), ("a/c", b"b", true)]), Kind::Zip, &Bounds::default()).unwrap();
    assert_eq!(fs::read(place.root.join("a/c")).unwrap(), b"hello");
    unpack(&place, &compress(Kind::Gz, b"plain"), Kind::Gz, &Bounds::default()).unwrap();
    assert_eq!(fs::read(place.root.join("single")).unwrap(), b"plain");
}

#[test]
fn nothing_leaves_the_sandbox() {
    let cases: Vec<(Vec<Item<'_>>, &str)> = vec![
        (vec![Item::File("../outside/x", b"x", 0o644)], "outside the sandbox"),
        (vec![Item::File("a/../../outside/x", b"x", 0o644)], "outside the sandbox"),
        (vec![Item::File("/tmp/orrery-test-absolute", b"x", 0o644)], "outside the sandbox"),
        (vec![Item::Link("l", "/etc")], "points outside"),
        (vec![Item::Link("l", "..")], "points outside"),
        (vec![Item::Link("a/l", "../../outside")], "points outside"),
        (vec![Item::Link("a", "."), Item::File("a/x", b"x", 0o644)], "needs a directory"),
        (vec![Item::Link("a", "."), Item::Link("a/b", "..")], "needs a directory"),
        (vec![Item::Directory("d"), Item::Link("d/l", ".."), Item::Link("m", "d/l/..")], "points outside"),
        (vec![Item::Hard("h", "../outside/archive")], "outside the sandbox"),
        (vec![Item::Directory("d"), Item::Link("d", "..")], "points outside"),
        (vec![Item::Directory("d"), Item::File("d", b"x", 0o644)], "cannot replace"),
        (vec![Item::Device("null")], "not unpacked"),
    ];
    for (number, (items, text)) in cases.iter().enumerate() {
        let place = place();
        let error = unpack(&place, &tar(items), Kind::Tar, &Bounds::default()).expect_err("must be refused");
        assert!(error.contains(text), "case {number}: {error}");
        assert_eq!(fs::read_dir(&place.outside).unwrap().count(), 0, "case {number}");
    }
    let place = place();
    for items in [[("../outside/x", &b"x"[..], false)], [("l", &b"../outside"[..], true)]] {
        assert!(unpack(&place, &zip(&items), Kind::Zip, &Bounds::default()).is_err());
        assert_eq!(fs::read_dir(&place.outside).unwrap().count(), 0);
    }
}

#[test]
fn bombs_end_early() {
    let bounds = Bounds { bytes: 64 << 20, entries: 100, ratio: 50, ratio_free_bytes: 1 << 20 };
    let zeros = vec![0u8; 32 << 20];
    let bomb = compress(Kind::TarGz, &tar(&[Item::File("zeros", &zeros, 0o644)]));
    let first = place();
    let error = unpack(&first, &bomb, Kind::TarGz, &bounds).unwrap_err();
    assert!(error.contains("archive bomb"), "{error}");
    assert!(fs::metadata(first.root.join("zeros")).unwrap().len() < 40 << 20);
    for (kind, bytes) in [(Kind::Gz, compress(Kind::Gz, &zeros)), (Kind::Zip, zip(&[("zeros", &zeros, false)]))] {
        let error = unpack(&place(), &bytes, kind, &bounds).unwrap_err();
        assert!(error.contains("archive bomb"), "{error}");
    }
    let names: Vec<String> = (0..200).map(|number| format!("f{number}")).collect();
    let many: Vec<Item<'_>> = names.iter().map(|name| Item::File(name, b"", 0o644)).collect();
    assert!(unpack(&place(), &tar(&many), Kind::Tar, &bounds).unwrap_err().contains("more than 100 files"));
    let small = Bounds { bytes: 10, ..bounds };
    assert!(
        unpack(&place(), &tar(&[Item::File("f", &[0; 11], 0o644)]), Kind::Tar, &small).unwrap_err().contains("more than 0 MiB")
    );
}

#[test]
fn damaged_archives_are_refused() {
    let whole = compress(Kind::TarGz, &tar(&[Item::File("f", &vec![7; 100_000], 0o644)]));
    assert!(unpack(&place(), &whole[..whole.len() / 2], Kind::TarGz, &Bounds::default()).is_err());
    for kind in [Kind::TarGz, Kind::TarBz2, Kind::TarXz, Kind::Gz, Kind::Zip] {
        assert!(unpack(&place(), b"<html>not found</html>", kind, &Bounds::default()).is_err(), "{kind:?}");
    }
}

proptest::proptest! {
    /// A link that is accepted at any depth never resolves to a place outside, whatever was
    /// unpacked before it.
    #[test]
    fn accepted_links_stay_inside(links in proptest::collection::vec(("[ab](/[ab]){0,2}", "(\\.\\./){0,3}[ab.](/([ab]|\\.\\.)){0,3}"), 1..8)) {
        let place = place();
        for (path, target) in &links {
            let _ = unpack(&place, &tar(&[Item::Link(path, target)]), Kind::Tar, &Bounds::default());
        }
        for (path, _) in &links {
            if let Ok(real) = place.root.join(path).canonicalize() {
                proptest::prop_assert!(real.starts_with(place.root.canonicalize().unwrap()));
            }
        }
    }
}

#[test]
fn endless_names_are_refused_before_they_fill_the_memory() {
    for kind in [tar::EntryType::GNULongName, tar::EntryType::XHeader] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(4 << 20);
        header.set_cksum();
        builder.append(&header, vec![b'a'; 4 << 20].as_slice()).unwrap();
        let (place, bytes) = (place(), compress(Kind::TarGz, &builder.into_inner().unwrap()));
        let error = unpack(&place, &bytes, Kind::TarGz, &Bounds::default()).unwrap_err();
        assert!(error.contains("too long"), "{error}");
    }
}
