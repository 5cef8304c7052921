//! The list of controllers that an agent keeps.

use orrery_link::address::ControllerAddress;

/// URLs of controllers that are remembered.
const CONTROLLERS_KEPT: usize = 16;

/// Each controller once, by its first URL: the link speaks TLS whatever scheme is written, so that two
/// URLs with the same host and port would only be dialled twice.
pub(super) fn distinct<'a>(urls: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let mut known: Vec<(String, &str)> = Vec::new();
    for url in urls {
        let url = url.trim_end_matches('/');
        let place = place(url);
        if known.len() < CONTROLLERS_KEPT && !known.iter().any(|(other, _)| *other == place) {
            known.push((place, url));
        }
    }
    known.into_iter().map(|(_, url)| url.to_owned()).collect()
}

/// Whether two URLs are those of one controller.
pub(super) fn are_same(one: &str, other: &str) -> bool {
    place(one) == place(other)
}

/// Host and port; of a text that has none, the text.
fn place(url: &str) -> String {
    // Plain HTTP beyond this machine is no address for a link, but the host and port of one.
    let encrypted = url.strip_prefix("http://").filter(|rest| rest.contains(':')).map(|rest| format!("https://{rest}"));
    let address = encrypted.as_deref().unwrap_or(url).parse::<ControllerAddress>();
    address.map_or_else(|_| url.to_owned(), |address| address.authority().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distinct_of(text: &str) -> String {
        let urls: Vec<String> = text.split(' ').map(str::to_owned).collect();
        distinct(&urls).join(" ")
    }

    #[test]
    fn the_first_url_of_each_controller_is_kept() {
        for (urls, kept) in [
            ("b a/ b c", "b a c"),
            ("http://127.0.0.1:8080 https://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://C1:1 http://c1:1 https://c1:2 c1:1", "https://C1:1 https://c1:2"),
            ("https://[::1]:9 http://[::1]:9", "https://[::1]:9"),
            ("http://a https://a", "http://a https://a"),
            ("what ever? what", "what ever?"),
        ] {
            assert_eq!(distinct_of(urls), kept, "{urls}");
        }
        let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        assert_eq!(distinct(&many).len(), CONTROLLERS_KEPT);
    }

    #[test]
    fn one_controller_has_two_schemes() {
        assert!(are_same("http://127.0.0.1:8080", "https://127.0.0.1:8080"));
        assert!(!are_same("https://127.0.0.1:8080", "https://127.0.0.1:8081"));
    }
}
