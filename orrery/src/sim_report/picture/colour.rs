//! The scale from empty to full: lightness grows in equal steps of OKLab, so that it can be read
//! without colours too.

/// Steps of the scale, each a twentieth of a node.
pub(super) const STEPS: usize = 20;

/// On a light background: full is dark.
pub(super) const LIGHT: [&str; STEPS] = [
    "#e7f7cf", "#d5eec5", "#c1e5bc", "#acddb5", "#96d4b0", "#7fcaad", "#67c1ab", "#4db7a9", "#2eaca9", "#10a1a8", "#1194a4",
    "#1287a0", "#0b7a9c", "#006e99", "#046195", "#085393", "#1a458b", "#243781", "#292976", "#2b1b6a",
];

/// On a dark background: full is bright.
pub(super) const DARK: [&str; STEPS] = [
    "#2b2458", "#2a3066", "#273b72", "#20487d", "#125487", "#0a618b", "#0b6e8e", "#0b7a92", "#058696", "#0e9398", "#11a09a",
    "#10ad99", "#20ba95", "#49c490", "#69ce89", "#87d682", "#a4de7b", "#c1e575", "#deeb71", "#faf170",
];

/// Step of a share in thousandths.
pub(super) fn step(share: i64) -> usize {
    (share.clamp(0, 999) as usize) * STEPS / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lightness in OKLab, 0 to 1.
    fn lightness(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let (red, green, blue) = (channel(1), channel(3), channel(5));
        let long = 0.412_221_470_8 * red + 0.536_332_536_3 * green + 0.051_445_992_9 * blue;
        let middle = 0.211_903_498_2 * red + 0.680_699_545_1 * green + 0.107_396_956_6 * blue;
        let short = 0.088_302_461_9 * red + 0.281_718_837_6 * green + 0.629_978_700_5 * blue;
        0.210_454_255_3 * long.cbrt() + 0.793_617_785 * middle.cbrt() - 0.004_072_046_8 * short.cbrt()
    }

    #[test]
    fn steps_are_equal_to_the_eye() {
        for (scale, sign) in [(LIGHT, -1.0), (DARK, 1.0)] {
            let steps: Vec<f64> = scale.windows(2).map(|pair| (lightness(pair[1]) - lightness(pair[0])) * sign).collect();
            assert!(steps.iter().all(|step| (0.028..0.041).contains(step)), "{steps:?}");
        }
    }

    #[test]
    fn every_share_has_a_step() {
        assert_eq!([step(-5), step(0), step(49), step(50), step(999), step(1000), step(i64::MAX)], [0, 0, 0, 1, 19, 19, 19]);
    }
}
